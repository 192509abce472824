/** What a client sends when answers are lost, refused or late: no record twice, and none taken for another. */
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { Client } from '../../../src/client/client.ts'
import { type ErrorCode, ERROR_CODES } from '../../../src/base/errors.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  type Exchanged,
  type Scripted,
  ScriptedServer,
  answer,
  problem,
} from '../../support/scripted-server.ts'

const PLACED = { partitions: 1, keyColumn: null }

function serve(retries: number, script: readonly Scripted[]): ScriptedServer {
  return new ScriptedServer(retries, [answer(PLACED), ...script])
}

function stamps(exchanged: readonly Exchanged[]): readonly unknown[] {
  return exchanged
    .filter(({ method }) => method === 'POST')
    .map(({ headers }) => [
      Number(headers.get('producer-epoch')),
      Number(headers.get('producer-seq')),
    ])
}

function applied(offset: number, count = 1): Response {
  return answer({ partition: 0, offset, count })
}

function refused(code: ErrorCode, status: number, details: object = {}): Response {
  return problem(status, { code, kind: ERROR_CODES[code], detail: code, details })
}

describe('a lane of appends', () => {
  test('sends what was not answered again under the same sequence, and counts on', async () => {
    const server = serve(5, [new Error('reset'), applied(0), applied(1)])
    const log = new Client(server.transport).log('l')
    expect(await log.append({ n: 1 })).toEqual({ partition: 0, offset: 0, count: 1 })
    await log.append({ n: 2 })
    expect(stamps(server.exchanged)).toEqual([
      [0, 0],
      [0, 0],
      [0, 1],
    ])
    const ids = server.exchanged.slice(1).map(({ headers }) => headers.get('producer-id'))
    expect(new Set(ids).size).toBe(1)
  })

  test('fences what may still land before it goes on', async () => {
    const server = serve(1, [applied(0), new Error('reset'), new Error('reset'), applied(5)])
    const log = new Client(server.transport).log('l')
    await log.append({ n: 1 })
    await expectError(log.append({ n: 2 }), 'server_unavailable')
    await log.append({ n: 3 })
    expect(stamps(server.exchanged)).toEqual([
      [0, 0],
      [0, 1],
      [0, 1],
      [1, 0],
    ])
  })

  test('begins anew where the server knows nothing of it, but not with what may be there', async () => {
    const gap = (): Response => refused('producer_sequence_gap', 409, { expected: 0 })
    const server = serve(5, [applied(0), gap(), applied(0), new Error('reset'), gap()])
    const log = new Client(server.transport).log('l')
    await log.append({ n: 1 })
    expect(await log.append({ n: 2 })).toEqual({ partition: 0, offset: 0, count: 1 })
    await expectError(log.append({ n: 3 }), 'producer_sequence_gap')
    expect(stamps(server.exchanged)).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
      [1, 1],
    ])
  })

  test('appends without a producer, and once, where a partition remembers no more of them', async () => {
    const full = (): Response => refused('producers_full', 429)
    const server = serve(5, [full(), applied(0), full(), new Error('reset')])
    const log = new Client(server.transport).log('l')
    expect(await log.append({ n: 1 })).toEqual({ partition: 0, offset: 0, count: 1 })
    expect(server.exchanged.at(-1)?.headers.has('producer-id')).toBe(false)
    await expectError(log.append({ n: 2 }), 'server_unavailable')
    expect(server.exchanged).toHaveLength(5)
  })

  test('puts what waits into one request, and takes it apart when one of it is wrong', async () => {
    const server = serve(5, [
      applied(10),
      refused('schema_mismatch', 400),
      applied(11),
      refused('schema_mismatch', 400),
      applied(12, 2),
    ])
    const log = new Client(server.transport).log('l')
    // The first is on its way before the others come.
    const first = log.append({ n: 0 })
    await server.sent(2)
    const results = await Promise.allSettled([
      first,
      log.append({ n: 1 }),
      log.append({ n: 'x' }),
      log.append([{ n: 3 }, { n: 4 }]),
    ])
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value : null))).toEqual([
      { partition: 0, offset: 10, count: 1 },
      { partition: 0, offset: 11, count: 1 },
      null,
      { partition: 0, offset: 12, count: 2 },
    ])
    expect(server.exchanged.slice(1).map(({ body }) => body)).toEqual([
      '{"n":0}\n',
      '{"n":1}\n{"n":"x"}\n{"n":3}\n{"n":4}\n',
      '{"n":1}\n',
      '{"n":"x"}\n',
      '{"n":3}\n{"n":4}\n',
    ])
  })

  const asTheEngine = { code: 'schema_mismatch', kind: 'invalid', detail: '', details: {} }
  const asAProxy = { details: { page: 'none' } }
  test.each<[name: string, answers: () => readonly Scripted[]]>([
    ['a proxy refuses it', () => [problem(404, asAProxy)]],
    ['a proxy refuses it again', () => [new Error('reset'), problem(403, asAProxy)]],
    ['the first may be there', () => [new Error('reset'), problem(400, asTheEngine)]],
    ['a token does not allow it', () => [problem(403, { code: 'scope_missing' })]],
  ])('leaves a group together where %s', async (_name, answers) => {
    const script = answers()
    const server = serve(5, [...script, applied(0), applied(1)])
    const log = new Client(server.transport).log('l')
    const results = await Promise.allSettled([log.append({ n: 1 }), log.append({ n: 2 })])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    const bodies = server.exchanged.slice(1).map(({ body }) => body)
    expect(bodies).toEqual(script.map(() => '{"n":1}\n{"n":2}\n'))
  })

  test('takes a group apart for a line that the server cannot read', async () => {
    const refusal = problem(400, { code: 'request_invalid' })
    const server = serve(5, [refusal, applied(0), problem(400, { code: 'request_invalid' })])
    const log = new Client(server.transport).log('l')
    const results = await Promise.allSettled([
      log.append({ n: 1 }),
      log.append({ toJSON: () => 'no record' }),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })

  test('tells who gave up, and goes on for the others', async () => {
    const held = Promise.withResolvers<Response>()
    const server = serve(5, [held.promise, applied(1)])
    const log = new Client(server.transport).log('l')
    const controller = new AbortController()
    const first = log.append({ n: 0 })
    await server.sent(2)
    const given = log.append({ n: 1 }, { signal: controller.signal })
    const kept = log.append({ n: 2 })
    // Both are in line by then.
    await systemClock.yield()
    controller.abort()
    await expectError(given, 'aborted')
    held.resolve(applied(0))
    await Promise.all([first, kept])
    expect(server.exchanged.at(-1)?.body).toBe('{"n":2}\n')
  })

  test('without retries sends no producer, and nothing again', async () => {
    const server = new ScriptedServer(0, [new Error('reset')])
    const log = new Client(server.transport).log('l')
    await expectError(log.append({ n: 1 }), 'server_unavailable')
    expect(server.exchanged).toHaveLength(1)
    expect(server.exchanged[0]?.headers.has('producer-id')).toBe(false)
  })
})
