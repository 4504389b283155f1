// Package environment manages certificates and keys that several programs share, and
// deploys them.
package environment
