package jks

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

// The part of the Java Object Serialization Specification (chapter 6, version
// 5) that JCEKS needs for secret keys: objects, class descriptors, strings,
// byte arrays, enum constants and back references. It is parsed by its
// grammar alone. A class name is compared with the few that are known and
// never leads to code; any other ends the parse.

const (
	streamHeader = 0xACED0005

	tcNull      = 0x70
	tcReference = 0x71
	tcClassDesc = 0x72
	tcObject    = 0x73
	tcString    = 0x74
	tcArray     = 0x75
	tcEnd       = 0x78 // TC_ENDBLOCKDATA
	tcEnum      = 0x7E

	baseHandle = 0x7E0000

	flagSerializable = 0x02 // SC_SERIALIZABLE
	flagEnum         = 0x10 // SC_ENUM

	maxObject = 64 << 10 // serialized
	// maxNesting covers what is written (enum in object in store; class of
	// class of class) with room to spare.
	maxNesting = 8
)

// Names of the classes that may occur.
const (
	classSealed       = "javax.crypto.SealedObject"
	classSealedForKey = "com.sun.crypto.provider.SealedObjectForKeyProtector"
	classSecretKey    = "javax.crypto.spec.SecretKeySpec"
	classKeyRep       = "java.security.KeyRep"
	classKeyRepType   = "java.security.KeyRep$Type"
	classEnum         = "java.lang.Enum"
	classBytes        = "[B"
)

func knownClass(name string) bool {
	switch name {
	case classSealed, classSealedForKey, classSecretKey, classKeyRep, classKeyRepType, classEnum, classBytes:
		return true
	}
	return false
}

// javaClass is a class descriptor.
type javaClass struct {
	name   string
	flags  byte
	fields []javaField
	super  *javaClass
	depth  int // of the chain of super classes
}

type javaField struct {
	name string
	kind byte // 'L' object, '[' array
}

// javaObject is an instance; fields holds string, []byte, javaEnum,
// *javaObject or nil. Those of all classes of the chain are together, since no
// two classes known here have a field of the same name.
type javaObject struct {
	class  string
	fields map[string]any
}

type javaEnum struct{ class, constant string }

func (o *javaObject) text(field string) string  { s, _ := o.fields[field].(string); return s }
func (o *javaObject) bytes(field string) []byte { b, _ := o.fields[field].([]byte); return b }

// readObject reads a stream of one object from the front of data and returns
// it with its length in bytes. Byte arrays alias data.
func readObject(data []byte) (*javaObject, int, error) {
	window := data[:min(len(data), maxObject)]
	d := &deserializer{Reader: javaio.NewReader(window)}
	if header := d.Uint32(); d.Err() == nil && header != streamHeader {
		return nil, 0, fmt.Errorf("header %08x of a serialized object: %w", header, trustkeep.ErrCorrupt)
	}
	value, err := d.value(0)
	if d.Short() && len(window) < len(data) {
		return nil, 0, fmt.Errorf("serialized object of more than %d bytes: %w", maxObject, trustkeep.ErrLimit)
	}
	if err != nil {
		return nil, 0, err
	}
	object, ok := value.(*javaObject)
	if !ok {
		return nil, 0, fmt.Errorf("value where an object should be: %w", trustkeep.ErrCorrupt)
	}
	return object, len(window) - d.Len(), nil
}

type deserializer struct {
	*javaio.Reader
	// handles are what back references point to, in order of appearance;
	// nil while incomplete, so that nothing can contain itself.
	handles []any
}

func (d *deserializer) newHandle() int {
	d.handles = append(d.handles, nil)
	return len(d.handles) - 1
}

func grammarError(what string, tag byte) error {
	return fmt.Errorf("serialized object: tag %#02x instead of %s: %w", tag, what, trustkeep.ErrCorrupt)
}

func (d *deserializer) reference() (any, error) {
	n := int64(d.Uint32()) - baseHandle
	if d.Err() != nil {
		return nil, d.Err()
	}
	if n < 0 || n >= int64(len(d.handles)) || d.handles[n] == nil {
		return nil, fmt.Errorf("serialized object: reference to nothing: %w", trustkeep.ErrCorrupt)
	}
	return d.handles[n], nil
}

// value reads whatever a field of object or array type may hold.
func (d *deserializer) value(depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("objects nested more than %d deep: %w", maxNesting, trustkeep.ErrLimit)
	}
	tag := d.Uint8()
	if d.Err() != nil {
		return nil, d.Err()
	}
	switch tag {
	case tcNull:
		return nil, nil
	case tcReference:
		return d.reference()
	case tcString:
		return d.newString()
	case tcArray:
		return d.byteArray()
	case tcEnum:
		return d.enum()
	case tcObject:
		return d.object(depth)
	}
	return nil, grammarError("a value", tag)
}

func (d *deserializer) newString() (string, error) {
	handle := d.newHandle()
	s := d.UTF()
	d.handles[handle] = s
	return s, d.Err()
}

func (d *deserializer) byteArray() (any, error) {
	class, err := d.class(0)
	if err != nil {
		return nil, err
	}
	if class == nil || class.name != classBytes {
		return nil, fmt.Errorf("serialized object: array of an unknown type: %w", trustkeep.ErrUnsupported)
	}
	handle := d.newHandle()
	b := d.Block()
	d.handles[handle] = b
	return b, d.Err()
}

func (d *deserializer) enum() (any, error) {
	class, err := d.class(0)
	if err != nil {
		return nil, err
	}
	if class == nil {
		return nil, grammarError("the class of an enum", tcNull)
	}
	handle := d.newHandle()
	name, err := d.value(maxNesting)
	if err != nil {
		return nil, err
	}
	constant, ok := name.(string)
	if !ok {
		return nil, fmt.Errorf("serialized object: enum without a name: %w", trustkeep.ErrCorrupt)
	}
	e := javaEnum{class.name, constant}
	d.handles[handle] = e
	return e, nil
}

func (d *deserializer) object(depth int) (any, error) {
	class, err := d.class(0)
	if err != nil {
		return nil, err
	}
	if class == nil {
		return nil, grammarError("the class of an object", tcNull)
	}
	handle := d.newHandle()
	o := &javaObject{class: class.name, fields: make(map[string]any)}
	if err := d.fields(o, class, depth); err != nil {
		return nil, err
	}
	d.handles[handle] = o
	return o, nil
}

// fields reads the values of one class of the chain, those of the super class
// first.
func (d *deserializer) fields(o *javaObject, class *javaClass, depth int) error {
	if class == nil {
		return nil
	}
	if err := d.fields(o, class.super, depth); err != nil {
		return err
	}
	if class.flags != flagSerializable {
		// With a writeObject method, or externalizable: none of the
		// classes known here.
		return fmt.Errorf("serialized object: class with flags %#02x: %w", class.flags, trustkeep.ErrUnsupported)
	}
	for _, f := range class.fields {
		v, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		o.fields[f.name] = v
	}
	return nil
}

// class reads a class descriptor or a reference to one; nil is the end of the
// chain of super classes.
func (d *deserializer) class(depth int) (*javaClass, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("classes nested more than %d deep: %w", maxNesting, trustkeep.ErrLimit)
	}
	tag := d.Uint8()
	if d.Err() != nil {
		return nil, d.Err()
	}
	switch tag {
	case tcNull:
		return nil, nil
	case tcReference:
		v, err := d.reference()
		if err != nil {
			return nil, err
		}
		class, ok := v.(*javaClass)
		if !ok {
			return nil, fmt.Errorf("serialized object: reference to no class: %w", trustkeep.ErrCorrupt)
		}
		return class, nil
	case tcClassDesc:
		return d.newClass(depth)
	}
	return nil, grammarError("a class", tag)
}

func (d *deserializer) newClass(depth int) (*javaClass, error) {
	class := &javaClass{name: d.UTF()}
	d.Int64() // serialVersionUID
	handle := d.newHandle()
	class.flags = d.Uint8()
	count := int(d.Uint16())
	if d.Err() != nil {
		return nil, d.Err()
	}
	if !knownClass(class.name) {
		return nil, fmt.Errorf("class %q: %w", trustkeep.Printable(class.name), trustkeep.ErrUnsupported)
	}
	if class.flags&^(flagSerializable|flagEnum) != 0 {
		return nil, fmt.Errorf("class %s with flags %#02x: %w", class.name, class.flags, trustkeep.ErrUnsupported)
	}
	for range count {
		f := javaField{kind: d.Uint8(), name: d.UTF()}
		if d.Err() != nil {
			return nil, d.Err()
		}
		if f.kind != 'L' && f.kind != '[' {
			return nil, fmt.Errorf("class %s: field of type %q: %w", class.name, f.kind, trustkeep.ErrUnsupported)
		}
		if _, err := d.value(maxNesting); err != nil { // name of the type
			return nil, err
		}
		class.fields = append(class.fields, f)
	}
	if tag := d.Uint8(); d.Err() == nil && tag != tcEnd {
		return nil, grammarError("the end of a class", tag)
	}
	super, err := d.class(depth + 1)
	if err != nil {
		return nil, err
	}
	if super != nil {
		class.depth = super.depth + 1
	}
	if class.depth > maxNesting {
		return nil, fmt.Errorf("classes nested more than %d deep: %w", maxNesting, trustkeep.ErrLimit)
	}
	class.super = super
	d.handles[handle] = class
	return class, nil
}
