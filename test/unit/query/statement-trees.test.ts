import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { expect, onTestFinished, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { RecentValues } from '../../../src/query/recent-values.ts'
import { StatementTrees, type TreeParser } from '../../../src/query/statement-trees.ts'

interface CountingParser extends TreeParser {
  readonly asked: string[]
}

async function counting(): Promise<CountingParser> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  onTestFinished(() => {
    connection.disconnectSync()
    instance.closeSync()
  })
  const asked: string[] = []
  const runAndReadAll: DuckDBConnection['runAndReadAll'] = (sql, values) => {
    asked.push(sql)
    return connection.runAndReadAll(sql, values)
  }
  return { asked, runAndReadAll }
}

test('a statement that comes again is not parsed again, and is the same', async () => {
  const parser = await counting()
  const trees = new StatementTrees()
  const sql = 'SELECT event, count(*) FROM t WHERE v > $1 GROUP BY event'
  const tree = await trees.treeOf(parser, sql)
  const text = await trees.textOf(parser, tree)
  expect(parser.asked).toHaveLength(2)
  expect(await trees.treeOf(parser, sql)).toEqual(tree)
  expect(await trees.textOf(parser, await trees.treeOf(parser, sql))).toBe(text)
  expect(parser.asked).toHaveLength(2)
  const other = new StatementTrees()
  expect(await other.treeOf(parser, present(text, 'a text'))).not.toBe(tree)
  expect(await other.textOf(parser, tree)).toBe(text)
  await trees.treeOf(parser, `${sql} `)
  expect(parser.asked).toHaveLength(5)
})

test('what is kept has a budget, and the least recently used goes first', () => {
  const values = new RecentValues<number>(100)
  for (const [index, text] of ['a', 'b', 'c', 'd'].entries()) values.set(text, index, 19)
  expect(values.length).toBe(80)
  expect(values.get('a')).toBe(0)
  values.set('e', 4, 20)
  values.set('f', 5, 19)
  expect(['a', 'b', 'c', 'd', 'e', 'f'].map((text) => values.get(text))).toEqual([
    0,
    undefined,
    undefined,
    3,
    4,
    5,
  ])
  values.set('g', 6, 30)
  expect(values.get('g')).toBeUndefined()
  values.set('f', 9, 19)
  expect([values.get('f'), values.length]).toEqual([5, 81])
})
