import { expect, test } from 'vitest'
import {
  isSameExpression,
  nodesOf,
  parseTree,
  placeAt,
  replaceNodes,
} from '../../../src/query/sql-tree.ts'

test('a tree that was read and written again has every digit of its numbers', () => {
  const json =
    '{"a":18446744073709551615,"b":[1e300,-170141183460469231731687303715884105728,0.1,5],"c":{"d":"x"}}'
  const tree = parseTree(json)
  expect(JSON.stringify(tree)).toBe(json)
  expect(JSON.stringify(replaceNodes(tree, () => null))).toBe(json)
  expect([...nodesOf(tree)]).toHaveLength(2)
})

test('a node is replaced with all that is in it', () => {
  const tree = parseTree('{"x":[{"name":"a","in":{"name":"a"}},{"name":"b"}]}')
  const changed = replaceNodes(tree, (node) => (node['name'] === 'a' ? { name: 'c' } : null))
  expect(changed).toEqual({ x: [{ name: 'c' }, { name: 'b' }] })
})

test('expressions are the same wherever they are written and whatever they are called', () => {
  const one = { alias: 'w', query_location: 7, children: [{ query_location: 9, name: 'x' }] }
  const other = { alias: '', query_location: 70, children: [{ query_location: 90, name: 'x' }] }
  expect(isSameExpression(one, other)).toBe(true)
  expect(isSameExpression(one, { ...other, children: [{ name: 'y' }] })).toBe(false)
})

test('places are lines and columns of characters, and DuckDB counts in bytes', () => {
  expect(placeAt('SELECT 1', 7)).toEqual({ line: 1, column: 8 })
  expect(placeAt("SELECT 'é',\n  x", Buffer.byteLength("SELECT 'é',\n  "))).toEqual({
    line: 2,
    column: 3,
  })
})
