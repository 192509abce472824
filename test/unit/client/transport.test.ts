/** Which requests a client sends again, when, and what it says of those that failed. */
import { describe, expect, test } from 'vitest'
import { Client, connect } from '../../../src/client/client.ts'
import { expectError } from '../../support/expect-error.ts'
import { ScriptedServer, answer, lines, problem } from '../../support/scripted-server.ts'

const reset = new Error('reset')

describe('a client', () => {
  test('reads again what was not answered, with pauses that grow and are drawn at random', async () => {
    const server = new ScriptedServer(5, [reset, reset, reset, answer({ logs: [] })])
    await new Client(server.transport).status()
    expect(server.exchanged).toHaveLength(4)
    expect(server.exchanged[0]?.headers.get('authorization')).toBe('Bearer stl_x')
    for (const [index, pause] of server.pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(50 * 2 ** index)
      expect(pause).toBeLessThanOrEqual(100 * 2 ** index)
    }
    expect(new Set(server.pauses.map((pause, index) => pause / 2 ** index)).size).toBe(3)
  })

  test('waits as long as the server says', async () => {
    const busy = problem(429, { code: 'rate_limited' }, { 'retry-after': '7' })
    const server = new ScriptedServer(5, [busy, answer({ logs: [] })])
    await new Client(server.transport).status()
    expect(server.pauses).toEqual([7_000])
  })

  test('gives up in the end, with what the server said', async () => {
    const busy = (): Response =>
      problem(429, {
        code: 'memory_full',
        kind: 'overloaded',
        detail: 'full',
        details: { log: 'l' },
      })
    const server = new ScriptedServer(2, [busy(), busy(), busy()])
    const error = await expectError(new Client(server.transport).status(), 'memory_full')
    expect(error).toMatchObject({ kind: 'overloaded', message: 'full', details: { log: 'l' } })
    expect(server.exchanged).toHaveLength(3)
  })

  test('sends what is no better the second time once', async () => {
    const limit = problem(429, { code: 'query_limit', kind: 'overloaded' })
    const server = new ScriptedServer(5, [limit])
    await expectError(new Client(server.transport).query('SELECT 1'), 'query_limit')
    const slow = new ScriptedServer(5, [problem(504, { code: 'timeout', kind: 'aborted' })])
    await expectError(new Client(slow.transport).query('SELECT 1'), 'timeout')
    expect(slow.exchanged).toHaveLength(1)
    const wrong = new ScriptedServer(5, [problem(400, { code: 'query_invalid', kind: 'invalid' })])
    await expectError(new Client(wrong.transport).query('SELECT'), 'query_invalid')
    expect([server.exchanged.length, wrong.exchanged.length]).toEqual([1, 1])
  })

  test('never sends twice what would then be done twice, unless it was not begun', async () => {
    const server = new ScriptedServer(5, [reset])
    await expectError(new Client(server.transport).createLog('l'), 'server_unavailable')
    expect(server.exchanged).toHaveLength(1)
    const untouched = problem(503, { code: 'server_busy' })
    const busy = new ScriptedServer(5, [untouched, answer({ name: 'l' })])
    await new Client(busy.transport).createLog('l')
    expect(busy.exchanged).toHaveLength(2)
  })

  test('goes on where it was when an answer breaks off', async () => {
    const fields = [{ name: 'n', type: 'int32', nullable: true }]
    const batch = (partition: number, base: number, ...values: number[]): object => ({
      partition,
      base,
      tier: 'memory',
      next: base + values.length,
      rows: values.map((n) => [n]),
    })
    const server = new ScriptedServer(5, [
      lines({ fields, partitions: 3 }, batch(0, 0, 1, 2), batch(1, 5, 3)),
      lines({ fields, partitions: 3 }),
      lines({ fields, partitions: 3 }, batch(1, 6, 4), { end: true }),
      lines({ fields, partitions: 3 }, batch(2, 0, 5), { end: true }),
    ])
    const rows = new Client(server.transport).log('l').read({ limit: 9, columns: ['n'] })
    expect((await rows.toArray()).map(({ n }) => n)).toEqual([1, 2, 3, 4, 5])
    expect(server.exchanged.map(({ url }) => url.search)).toEqual([
      '?limit=9&format=rows&columns=n',
      '?limit=6&partition=1&from=6&format=rows&columns=n',
      '?limit=6&partition=1&from=6&format=rows&columns=n',
      '?limit=5&partition=2&format=rows&columns=n',
    ])
  })

  test('does not go on in the newest of each key, which have no order', async () => {
    const fields = [{ name: 'n', type: 'int32', nullable: true }]
    const batch = { partition: 0, base: 0, tier: 'memory', next: 1, rows: [[1]] }
    const server = new ScriptedServer(5, [
      lines({ fields, partitions: 1 }),
      lines({ fields, partitions: 1 }, batch),
    ])
    const rows = new Client(server.transport).log('l').latest()
    await expectError(rows.toArray(), 'server_unavailable')
    expect(server.exchanged.map(({ url }) => url.search)).toEqual([
      '?latest=true&format=rows',
      '?latest=true&format=rows',
    ])
  })

  test('tells what the server found on the way, and of gaps', async () => {
    const fields = [{ name: 'n', type: 'int32', nullable: true }]
    const gap = { partition: 0, from: 1, to: 3, cause: 'evicted' }
    const error = { status: 500, code: 'offset_gap', kind: 'corrupt', detail: 'gone' }
    const server = new ScriptedServer(5, [
      lines({ fields, partitions: 1 }, { gap }, { error }),
      lines({ fields: [], columns: [] }, { error: { ...error, code: 'query_limit', status: 429 } }),
    ])
    const client = new Client(server.transport)
    const told: unknown[] = []
    const rows = client.log('l').read({ onGap: (found) => told.push(found) })
    await expectError(rows.toArray(), 'offset_gap')
    expect(told).toEqual([gap])
    const result = await client.query('SELECT 1')
    await expectError(result.toArray(), 'query_limit')
    await expectError(result.stats, 'query_limit')
  })

  test('takes a result that was cut off for none', async () => {
    const server = new ScriptedServer(5, [lines({ fields: [], columns: [] }, { rows: [[]] })])
    const result = await new Client(server.transport).query('SELECT 1')
    await expectError(result.toArray(), 'server_unavailable')
  })

  test('is refused an address that is none, and does nothing once it is closed', async () => {
    await expectError(connect('localhost:8080'), 'url_invalid')
    await expectError(connect('http://a/?b'), 'url_invalid')
    const server = new ScriptedServer(5, [])
    const client = new Client(server.transport)
    await client.close()
    await expectError(client.status(), 'engine_closed')
    expect(server.exchanged).toEqual([])
  })
})
