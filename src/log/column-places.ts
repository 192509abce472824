/**
 * Where columns of an append lie in a schema. Appends mostly come in one shape, so the last one of each schema is kept:
 * names are matched, and types merged, for the first append of a shape only.
 */
import type { Field, Schema } from '../format/schema.ts'

/** By column of the schema, its place among those given; -1 where it is absent. */
export type ColumnPlaces = readonly number[]

interface KnownShape {
  /** What was given, as it was then: the caller's objects may change. */
  readonly given: readonly Pick<Field, 'name' | 'type'>[]
  readonly places: ColumnPlaces
}

const shapes = new WeakMap<Schema, KnownShape>()

/** The places of columns of a shape that `rememberPlaces` was told of last; else null. */
export function knownPlaces(schema: Schema, fields: readonly Field[]): ColumnPlaces | null {
  const shape = shapes.get(schema)
  if (shape === undefined || shape.given.length !== fields.length) return null
  for (let index = 0; index < fields.length; index++) {
    const given = shape.given[index]
    const field = fields[index]
    if (field?.name !== given?.name || field?.type !== given?.type) return null
  }
  return shape.places
}

/** To be called for fields that leave the schema as it is when they are merged into it. */
export function rememberPlaces(schema: Schema, fields: readonly Field[]): ColumnPlaces {
  const places = placesOf(schema, fields)
  shapes.set(schema, { given: fields.map(({ name, type }) => ({ name, type })), places })
  return places
}

export function placesOf(schema: Schema, fields: readonly Field[]): ColumnPlaces {
  const places = new Map(fields.map((field, index) => [field.name, index]))
  return schema.fields.map((field) => places.get(field.name) ?? -1)
}
