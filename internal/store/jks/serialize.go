package jks

import (
	"encoding/binary"

	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

// serializer writes the streams that readObject reads, for the two classes
// that new JCEKS secrets need. Errors stick.
type serializer struct {
	out []byte
	err error
}

func newSerializer() *serializer {
	return &serializer{out: binary.BigEndian.AppendUint32(nil, streamHeader)}
}

func (s *serializer) utf(text string) {
	if s.err == nil {
		s.out, s.err = javaio.AppendUTF(s.out, text)
	}
}

func (s *serializer) string(text string) {
	s.out = append(s.out, tcString)
	s.utf(text)
}

func (s *serializer) reference(handle uint32) {
	s.out = binary.BigEndian.AppendUint32(append(s.out, tcReference), baseHandle+handle)
}

// class writes a class descriptor up to its field count. The uid is the
// serialVersionUID by which Java recognises the version of the class.
func (s *serializer) class(name string, uid uint64, fields uint16) {
	s.out = append(s.out, tcClassDesc)
	s.utf(name)
	s.out = binary.BigEndian.AppendUint64(s.out, uid)
	s.out = append(s.out, flagSerializable)
	s.out = binary.BigEndian.AppendUint16(s.out, fields)
}

func (s *serializer) field(kind byte, name string) {
	s.out = append(s.out, kind)
	s.utf(name)
}

func (s *serializer) bytes(b []byte) {
	s.out = binary.BigEndian.AppendUint32(s.out, uint32(len(b)))
	s.out = append(s.out, b...)
}

// Values of serialVersionUID, as the JDK writes them.
const (
	uidSealedForKey = 0xCD57CA59E730BB53
	uidSealed       = 0x3E363DA6C3B75470
	uidSecretKey    = 0x5B470B66E230614D
	uidBytes        = 0xACF317F8060854E0
)

// serializeSealed writes a SealedObjectForKeyProtector. Handles are counted in
// order of appearance: 0 and 1 the classes, 2 "[B", 3 the type name String, 4
// the object, 5 the array class.
func serializeSealed(params, content []byte, algorithm string) ([]byte, error) {
	s := newSerializer()
	s.out = append(s.out, tcObject)
	s.class(classSealedForKey, uidSealedForKey, 0)
	s.out = append(s.out, tcEnd)
	s.class(classSealed, uidSealed, 4)
	s.field('[', "encodedParams")
	s.string(classBytes)
	s.field('[', "encryptedContent")
	s.reference(2)
	s.field('L', "paramsAlg")
	s.string("Ljava/lang/String;")
	s.field('L', "sealAlg")
	s.reference(3)
	s.out = append(s.out, tcEnd, tcNull)
	s.out = append(s.out, tcArray)
	s.class(classBytes, uidBytes, 0)
	s.out = append(s.out, tcEnd, tcNull)
	s.bytes(params)
	s.out = append(s.out, tcArray)
	s.reference(5)
	s.bytes(content)
	s.string(algorithm)
	s.string(algorithm)
	return s.out, s.err
}

// serializeSecret writes a SecretKeySpec.
func serializeSecret(algorithm string, key []byte) ([]byte, error) {
	s := newSerializer()
	s.out = append(s.out, tcObject)
	s.class(classSecretKey, uidSecretKey, 2)
	s.field('L', "algorithm")
	s.string("Ljava/lang/String;")
	s.field('[', "key")
	s.string(classBytes)
	s.out = append(s.out, tcEnd, tcNull)
	s.string(algorithm)
	s.out = append(s.out, tcArray)
	s.class(classBytes, uidBytes, 0)
	s.out = append(s.out, tcEnd, tcNull)
	s.bytes(key)
	return s.out, s.err
}
