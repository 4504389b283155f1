//go:build !linux

package storefile

func (osCalls) unnamed(string) (file, error) { return nil, errNoUnnamed }

func (osFile) linkTo(string) error { return errNoUnnamed }
