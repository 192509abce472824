/** What becomes of a query whose reader leaves: it ends on the server, and its stats do not stay open. */
import { describe, expect, test } from 'vitest'
import { Client } from '../../../src/client/client.ts'
import type { QueryRows } from '../../../src/client/query-rows.ts'
import { expectError } from '../../support/expect-error.ts'
import { ScriptedServer, lines, openLines } from '../../support/scripted-server.ts'

const HEAD = { fields: [{ name: 'n', type: 'int32', nullable: true }], columns: [] }
const STATS = { elapsedMs: 1 }

/** A query of which the server has said so much, and no more. */
async function open(
  options: { readonly signal?: AbortSignal },
  ...more: readonly unknown[]
): Promise<{ readonly result: QueryRows; readonly cancelled: Promise<void> }> {
  const { response, cancelled } = openLines(HEAD, ...more)
  const client = new Client(new ScriptedServer(5, [response]).transport)
  return { result: await client.query('SELECT 1', [], options), cancelled }
}

describe('the rows of a query', () => {
  test('end the request when they are closed unread', async () => {
    const { result, cancelled } = await open({})
    await result.close()
    await cancelled
    await expectError(result.stats, 'aborted')
    await result.close()
  })

  test('end the request when they are closed while the next row is awaited', async () => {
    const { result, cancelled } = await open({}, { rows: [[1]] })
    const seen: unknown[] = []
    const isFirst = Promise.withResolvers<void>()
    const reading = (async () => {
      for await (const { n } of result) {
        seen.push(n)
        isFirst.resolve()
      }
    })()
    await isFirst.promise
    const failing = expectError(reading, 'aborted')
    await result.close()
    await failing
    await cancelled
    expect(seen).toEqual([1])
    await expectError(result.stats, 'aborted')
  })

  test('end the request when the loop is left', async () => {
    const { result, cancelled } = await open({}, { rows: [[1]] })
    for await (const { n } of result) if (n === 1) break
    await cancelled
    await expectError(result.stats, 'aborted')
  })

  test('end with the signal of the caller', async () => {
    const controller = new AbortController()
    const { result, cancelled } = await open({ signal: controller.signal })
    const failing = expectError(result.toArray(), 'aborted')
    controller.abort()
    await failing
    await cancelled
    await expectError(result.stats, 'aborted')
  })

  test('have stats once they were read, closed after that or not', async () => {
    const response = lines(HEAD, { rows: [[1]] }, { end: true, stats: STATS })
    const client = new Client(new ScriptedServer(5, [response]).transport)
    const result = await client.query('SELECT 1')
    expect(await result.toArray()).toEqual([{ n: 1 }])
    await result.close()
    expect(await result.stats).toEqual(STATS)
  })
})
