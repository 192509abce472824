import { expect, test } from 'vitest'
import type { Field, Schema } from '../../../src/format/schema.ts'
import { sharedSchema } from '../../../src/format/shared-schema.ts'

const field = (name: string, type: Field['type'] = 'int64', nullable = true): Field => ({
  name,
  type,
  nullable,
})
const schema = (id: number, ...fields: Field[]): Schema => ({ id, fields })

test('equal schemas become one object', () => {
  const first = sharedSchema(schema(0, field('a'), field('b', 'utf8')))
  expect(sharedSchema(schema(0, field('a'), field('b', 'utf8')))).toBe(first)
})

test('schemas that differ in anything stay apart, and stay what they are', () => {
  const different = [
    schema(0, field('a'), field('b')),
    schema(1, field('a'), field('b')),
    schema(0, field('b'), field('a')),
    schema(0, field('a')),
    schema(0, field('a'), field('b', 'utf8')),
    schema(0, field('a'), field('b', 'int64', false)),
    // A name that looks like the end of one field and another one.
    schema(0, field('a int64 1 1 b')),
    schema(0, field('a'), field(' b')),
    schema(0, field('a '), field('b')),
  ]
  const shared = different.map(sharedSchema)
  expect(shared).toEqual(different)
  expect(new Set(shared).size).toBe(different.length)
})

test('more schemas than are kept are right all the same', () => {
  const many = Array.from({ length: 2_000 }, (_, index) => schema(0, field(`column_${index}`)))
  expect(many.map(sharedSchema)).toEqual(many)
  const wide = schema(0, ...Array.from({ length: 500 }, (_, index) => field(`wide_${index}`)))
  expect(sharedSchema(wide)).toBe(wide)
})
