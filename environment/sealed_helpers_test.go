package environment_test

import "encoding/base64"

func base64URL(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }

func base64Std(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
