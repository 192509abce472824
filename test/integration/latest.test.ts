/** The latest view of keyed logs: in SQL and by the API, over all tiers, live, as of a moment and after a replay. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const rowsOf = async (db: Stratalog, sql: string, parameters: readonly (string | number)[] = []) =>
  (await (await db.query(sql, parameters)).toJson()).rows

describe('log$latest in SQL', () => {
  test('holds the newest record of each key by offset, without what was deleted and what has no key', async () => {
    await using db = await Stratalog.memoryOnly()
    const users = await db.createLog('users', { keyColumn: 'id', timeColumn: 'at' })
    const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second))
    await users.append([
      { id: 'a', name: 'Ann', at: at(9), _deleted: false },
      { id: 'b', name: 'Bob', at: at(1), _deleted: null },
      { id: 'c', name: 'Cat', at: at(1), _deleted: false },
      { id: null, name: 'nobody', at: at(1), _deleted: false },
      { id: 'a', name: 'Anna', at: at(3), _deleted: false },
      { id: 'b', name: null, at: at(4), _deleted: true },
    ])
    const all = 'SELECT id, name, _offset FROM "users$latest" ORDER BY id'
    expect(await rowsOf(db, all)).toEqual([
      ['a', 'Anna', 4],
      ['c', 'Cat', 2],
    ])
    await users.append({ id: 'b', name: 'Bea', at: at(0), _deleted: false })
    expect(await rowsOf(db, all)).toEqual([
      ['a', 'Anna', 4],
      ['b', 'Bea', 6],
      ['c', 'Cat', 2],
    ])
    const joined = `SELECT l.name, count(*) FROM "users$latest" l JOIN users u USING (id)
      WHERE l.id <> ? GROUP BY ALL ORDER BY 1`
    expect(await rowsOf(db, joined, ['c'])).toEqual([
      ['Anna', 2],
      ['Bea', 3],
    ])
    expect(await rowsOf(db, 'SELECT * FROM users$latest WHERE _offset < 3')).toHaveLength(1)
    expect(await rowsOf(db, 'EXPLAIN SELECT * FROM users$latest')).toHaveLength(1)
    await expectError(db.query('SELECT * FROM "user$latest"'), 'log_not_found')
  })

  test('of a log without a key column is refused, and only where it is asked for', async () => {
    await using db = await Stratalog.memoryOnly()
    const plain = await db.createLog('plain')
    await plain.append({ n: 1 })
    await expectError(db.query('SELECT * FROM "plain$latest"'), 'query_invalid')
    expect(await rowsOf(db, `SELECT 'plain$latest', n FROM plain`)).toEqual([['plain$latest', 1]])
  })
})
