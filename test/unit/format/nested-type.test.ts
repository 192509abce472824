import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NESTING_DEPTH_MAX } from '../../../src/format/limits.ts'
import { structText } from '../../../src/format/nested-type.ts'
import {
  type ColumnType,
  childTypes,
  columnLayout,
  isColumnType,
  storedColumnCount,
} from '../../../src/format/schema.ts'
import { arbitraryNestedType } from '../../support/arbitrary-columns.ts'

const listsAround = (depth: number): string => `${'list<'.repeat(depth)}bool${'>'.repeat(depth)}`

describe('the text of a nested type', () => {
  test('names what is inside', () => {
    const type: ColumnType = 'struct<id:int64,"two words":list<decimal(20,3)>,at:timestamp[ms]>'
    expect(isColumnType(type)).toBe(true)
    expect(columnLayout(type)).toMatchObject({
      kind: 'struct',
      fields: [
        { name: 'id', type: 'int64' },
        { name: 'two words', type: 'list<decimal(20,3)>' },
        { name: 'at', type: 'timestamp[ms]' },
      ],
    })
    expect(childTypes('list<list<utf8>>')).toEqual(['list<utf8>'])
    expect(childTypes('utf8')).toEqual([])
    expect(storedColumnCount(type)).toBe(5)
  })

  test('of any type is one, and has one spelling', () => {
    fc.assert(
      fc.property(arbitraryNestedType(4), (type) => {
        expect(isColumnType(type)).toBe(true)
        const layout = columnLayout(type)
        const again = layout.kind === 'struct' ? structText(layout.fields) : null
        expect(again ?? `list<${childTypes(type)[0]}>`).toBe(type)
        expect(isColumnType(`${type} `)).toBe(false)
        expect(isColumnType(type.slice(0, -1))).toBe(false)
      }),
    )
  })

  test.each([
    'list<>',
    'list',
    'list<int32',
    'list<int32>>',
    'list<int31>',
    'list< int32>',
    'list<int32,int32>',
    'list<decimal(50,3)>',
    'struct<>',
    'struct<a>',
    'struct<a:>',
    'struct<:int32>',
    'struct<a:int32,>',
    'struct<a:int32,a:utf8>',
    'struct<a:int32 ,b:utf8>',
    'struct<two words:int32>',
    'struct<"a":int32>',
    'struct<"":int32>',
    'struct<"__proto__":int32>',
    'struct<__proto__:int32>',
    'struct<"\\u0062 c":int32>',
    'struct<"\\ud800":int32>',
    `struct<"${'x '.repeat(200)}":int32>`,
    listsAround(NESTING_DEPTH_MAX + 1),
    structText(Array.from({ length: 1_024 }, (_, index) => ({ name: `f${index}`, type: 'bool' }))),
    'map<utf8,int32>',
  ])('is refused when it is %s', (text) => {
    expect(isColumnType(text)).toBe(false)
  })

  test('may be as deep and as wide as the limits say', () => {
    expect(isColumnType(listsAround(NESTING_DEPTH_MAX))).toBe(true)
    const fields = Array.from({ length: 1_023 }, (_, index) => ({
      name: `f${index}`,
      type: 'bool',
    }))
    expect(isColumnType(structText(fields))).toBe(true)
  })
})
