import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { COLUMNS_MAX } from '../../../src/format/limits.ts'
import {
  assertFields,
  mergeFields,
  sameFields,
  storedSchema,
  userFields,
} from '../../../src/format/schema-evolution.ts'
import { type ColumnType, type Field, isWidening } from '../../../src/format/schema.ts'
import { EVERY_TYPE } from '../../support/sample-batches.ts'

const field = (name: string, type: ColumnType, nullable = true): Field => ({ name, type, nullable })

describe('storedSchema', () => {
  test('stamps the time of a log that names no time column, and userFields hides it', () => {
    const fields = [field('a', 'int32')]
    const stamped = storedSchema(3, fields, null)
    expect(stamped).toEqual({ id: 3, fields: [...fields, field('_time', 'timestamp[ms]', false)] })
    expect(userFields(stamped)).toEqual(fields)
    expect(storedSchema(0, fields, 'a')).toEqual({ id: 0, fields })
  })
})

describe('mergeFields', () => {
  test('keeps what is there, widens it, and adds what is new as nullable', () => {
    const own = [field('a', 'int32', false), field('b', 'int64')]
    const given = [field('new', 'utf8', false), field('a', 'float64'), field('b', 'int32')]
    expect(mergeFields(own, given)).toEqual([
      field('a', 'float64', false),
      field('b', 'int64'),
      field('new', 'utf8', true),
    ])
  })

  test('takes the fields of a first append as they are', () => {
    const given = [field('a', 'int32', false), field('b', 'utf8')]
    expect(mergeFields(null, given)).toEqual(given)
  })

  test('makes a new column nullable also when the log has records without any column', () => {
    expect(mergeFields([], [field('a', 'int32', false)])).toEqual([field('a', 'int32', true)])
  })

  test('refuses every change that could lose a value, naming the column and both types', () => {
    fc.assert(
      fc.property(fc.constantFrom(...EVERY_TYPE), fc.constantFrom(...EVERY_TYPE), (from, to) => {
        const isTaken = from === to || isWidening(from, to) || isWidening(to, from)
        const merge = (): readonly Field[] => mergeFields([field('a', from)], [field('a', to)])
        if (isTaken) expect(merge()[0]?.type).toBe(isWidening(from, to) ? to : from)
        else {
          expect(merge).toThrow(
            expect.objectContaining({
              code: 'schema_mismatch',
              details: { column: 'a', expected: from, given: to },
            }),
          )
        }
      }),
    )
  })

  test('refuses names twice, names of the system, and more columns than a log may have', () => {
    const many = Array.from({ length: COLUMNS_MAX + 1 }, (_, index) => field(`c${index}`, 'int8'))
    const given = [
      [field('a', 'int8'), field('a', 'int8')],
      [field('_offset', 'int64')],
      [field('__proto__', 'int8')],
      many,
    ]
    for (const fields of given) {
      expect(() => mergeFields(null, fields)).toThrow(
        expect.objectContaining({ code: 'schema_invalid' }),
      )
    }
    expect(() => mergeFields([], [field('_deleted', 'utf8')])).toThrow(
      expect.objectContaining({ code: 'schema_invalid' }),
    )
    expect(() => mergeFields([], [field('a', 'varchar' as ColumnType)])).toThrow(
      expect.objectContaining({ code: 'schema_invalid' }),
    )
  })

  test('changes nothing when all of it is there', () => {
    const own = EVERY_TYPE.map((type, index) => field(`c${index}`, type))
    expect(sameFields(mergeFields(own, own.slice(3, 5)), own)).toBe(true)
    expect(sameFields(own, own.slice(1))).toBe(false)
    expect(
      sameFields(
        own,
        own.map((one) => ({ ...one, nullable: false })),
      ),
    ).toBe(false)
  })
})

describe('assertFields', () => {
  const check =
    (fields: readonly Field[], time: string | null = null, key: string | null = null) =>
    () =>
      assertFields(fields, time, key)
  const invalid = expect.objectContaining({ code: 'schema_invalid' })

  test('takes a column of every type', () => {
    expect(
      check(
        [
          ...EVERY_TYPE.map((type, index) => field(`c${index}`, type)),
          field('at', 'timestamp[us]'),
        ],
        'at',
        'c0',
      ),
    ).not.toThrow()
  })

  test('refuses what no log can have', () => {
    expect(check([field('a', 'int8'), field('a', 'utf8')])).toThrow(invalid)
    expect(check([field('a', 'int7' as ColumnType)])).toThrow(invalid)
    expect(check([field('a', 'decimal(39,0)')])).toThrow(invalid)
    expect(check([field('a', 'decimal(3,4)')])).toThrow(invalid)
    expect(check([field('_time', 'timestamp[ms]')])).toThrow(invalid)
    expect(check([field('_deleted', 'int8')])).toThrow(invalid)
    expect(check([field(5 as unknown as string, 'int8')])).toThrow(invalid)
    expect(
      check(Array.from({ length: COLUMNS_MAX + 1 }, (_, index) => field(`c${index}`, 'int8'))),
    ).toThrow(invalid)
  })

  test('wants the columns that have a role, and a time column of times', () => {
    expect(check([field('a', 'int8')], 'at')).toThrow(invalid)
    expect(check([field('a', 'int8')], null, 'key')).toThrow(invalid)
    expect(check([field('at', 'int64')], 'at')).toThrow(invalid)
  })
})
