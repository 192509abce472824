import { expect, test } from 'vitest'
import { knownPlaces, placesOf, rememberPlaces } from '../../../src/log/column-places.ts'
import type { Field, Schema } from '../../../src/format/schema.ts'

function field(name: string, type: Field['type']): Field {
  return { name, type, nullable: true }
}

const SCHEMA: Schema = {
  id: 0,
  fields: [field('a', 'int64'), field('b', 'utf8'), field('_time', 'timestamp[ms]')],
}

test('columns are found by name, and a schema knows the last shape that it was told of', () => {
  const schema = { ...SCHEMA }
  const given = [field('b', 'utf8'), field('a', 'int32')]
  expect(knownPlaces(schema, given)).toBeNull()
  expect(rememberPlaces(schema, given)).toEqual([1, 0, -1])
  expect(knownPlaces(schema, [field('b', 'utf8'), field('a', 'int32')])).toEqual([1, 0, -1])
  expect(rememberPlaces(schema, [field('a', 'int64')])).toEqual([0, -1, -1])
  expect(knownPlaces(schema, given)).toBeNull()
})

test('another name, type, order or number of columns is another shape, in the same array too', () => {
  const schema = { ...SCHEMA }
  const given = [field('b', 'utf8'), field('a', 'int32')]
  rememberPlaces(schema, given)
  const others = [
    [field('b', 'utf8'), field('a', 'int64')],
    [field('b', 'utf8'), field('c', 'int32')],
    given.toReversed(),
    given.slice(0, 1),
    [...given, field('c', 'int32')],
  ]
  for (const other of others) expect(knownPlaces(schema, other)).toBeNull()
  given[1] = field('c', 'int32')
  expect(knownPlaces(schema, given)).toBeNull()
  expect(placesOf(schema, given)).toEqual([-1, 0, -1])
})
