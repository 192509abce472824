import { expect, test } from 'vitest'
import { readStatement, statementError } from '../../../src/query/statement.ts'

test('an EXPLAIN is read as what it explains', () => {
  expect(readStatement('SELECT 1')).toEqual({
    query: 'SELECT 1',
    isExplain: false,
    isExecuted: true,
  })
  expect(readStatement(' -- why\n /* a */ explain\tSELECT 1')).toEqual({
    query: 'SELECT 1',
    isExplain: true,
    isExecuted: false,
  })
  expect(readStatement('EXPLAIN ANALYZE SELECT 1')).toEqual({
    query: 'SELECT 1',
    isExplain: true,
    isExecuted: true,
  })
  expect(readStatement('EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1')).toEqual({
    query: 'SELECT 1',
    isExplain: true,
    isExecuted: true,
  })
  expect(readStatement('SELECT explain FROM t').isExplain).toBe(false)
})

test('words that begin a writing statement are refused, wherever they stand first', () => {
  for (const sql of [
    'copy t TO x',
    ' /* SELECT */ Attach x',
    '-- SELECT\nSET a = 1',
    'EXPLAIN ANALYZE INSERT INTO t VALUES (1)',
    'EXPLAIN (ANALYZE) DROP TABLE t',
  ]) {
    expect(() => readStatement(sql), sql).toThrow(
      expect.objectContaining({ code: 'query_forbidden' }),
    )
  }
  for (const sql of ['', ' ', '-- only this', '/* and this */']) {
    expect(() => readStatement(sql), sql).toThrow(
      expect.objectContaining({ code: 'query_invalid' }),
    )
  }
})

test("DuckDB's errors become ours, with the place where it points", () => {
  const message = 'Parser Error: syntax error at or near "x"\n\nLINE 3: a WHER x\n               ^'
  expect(statementError(new Error(`Failed to extract statements: ${message}`))).toMatchObject({
    code: 'query_invalid',
    message,
    details: { line: 3, column: 8 },
  })
  expect(statementError(new Error('Permission Error: no')).code).toBe('query_forbidden')
  expect(statementError(new Error('Out of Memory Error: no')).code).toBe('query_limit')
  expect(statementError(new Error('INTERNAL Error: no')).code).toBe('query_failed')
})
