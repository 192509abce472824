/** Rows of a continuous query whose answers break off: each comes once, or the query says that it cannot go on. */
import { describe, expect, test } from 'vitest'
import { Client } from '../../../src/client/client.ts'
import type { StreamQueryOptions } from '../../../src/client/index.ts'
import type { StreamResumePoint } from '../../../src/query/stream/resume-point.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  type Scripted,
  ScriptedServer,
  lines,
  openLines,
  problem,
} from '../../support/scripted-server.ts'

const HEAD = { fields: [{ name: 'n', type: 'int32', nullable: true }], columns: [] }

/** A point that a server would give, behind so many rows of what was due. */
function point(given: number, horizon = 1): StreamResumePoint {
  return { horizon, given } as StreamResumePoint
}

const due = (horizon: number, given: number, ...rows: number[]): object => ({
  rows: rows.map((n) => [n]),
  resumePoint: point(given, horizon),
})
const end = { end: true, resumePoint: point(0, 9) }

function served(...script: Scripted[]): { server: ScriptedServer; client: Client } {
  const server = new ScriptedServer(2, script)
  return { server, client: new Client(server.transport) }
}

async function valuesOf(client: Client, options: StreamQueryOptions = {}): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { n } of client.streamSql('SELECT', options)) values.push(n)
  return values
}

/** What the client asked for, of each request. */
const asked = (server: ScriptedServer): readonly Record<string, unknown>[] =>
  server.exchanged.map(({ body }) => JSON.parse(body) as Record<string, unknown>)

describe('a continuous query', () => {
  test('goes on behind the last row where an answer breaks off, and stays ended at its end', async () => {
    const { server, client } = served(
      lines(HEAD, due(1, 2, 1, 2), { resumePoint: point(0, 5) }, due(6, 1, 3)),
      new Error('the line is down'),
      lines(HEAD, due(6, 3, 4, 5)),
      lines(end),
    )
    expect(await valuesOf(client, { from: 7, lateness: '5s' })).toEqual([1, 2, 3, 4, 5])
    const [first, ...rest] = asked(server)
    expect(first).toEqual({ sql: 'SELECT', from: 7, lateness: '5s' })
    expect(rest.map(({ resumePoint, from }) => [resumePoint, from])).toEqual([
      [point(1, 6), undefined],
      [point(1, 6), undefined],
      [point(3, 6), undefined],
    ])
    expect(server.exchanged[0]?.url.search).toBe('?format=rows')
  })

  test('knows its place in the middle of rows that came together, behind some that were given before', async () => {
    const { client } = served(lines(HEAD, due(1, 7, 5, 6, 7), end))
    const windows = client.streamSql('SELECT', { resumePoint: point(4) })
    const places: unknown[] = []
    for await (const { n } of windows) places.push([n, windows.resumePoint])
    expect(places).toEqual([
      [5, point(5)],
      [6, point(6)],
      [7, point(7)],
    ])
    expect(windows.resumePoint).toEqual(end.resumePoint)
  })

  test('begins anew where nothing had come, but not from a now that is over', async () => {
    const { server, client } = served(lines(), lines(HEAD, due(1, 1, 1), end))
    expect(await valuesOf(client, { from: 0 })).toEqual([1])
    expect(asked(server).map(({ from }) => from)).toEqual([0, 0])
    await expectError(valuesOf(served(lines()).client, { from: 'now' }), 'server_unavailable')
    const known = served(lines({ resumePoint: point(0, 3) }), lines(end))
    expect(await valuesOf(known.client, { from: 'now' })).toEqual([])
    expect(asked(known.server)[1]).toEqual({ sql: 'SELECT', resumePoint: point(0, 3) })
  })

  test('that follows a log waits for its server as long as it takes; one that does not, no longer than a read', async () => {
    const down = Array.from({ length: 50 }, () => new Error('the line is down'))
    const { client } = served(lines(HEAD, due(1, 1, 1)), ...down, lines(due(2, 1, 2), end))
    expect(await valuesOf(client)).toEqual([1, 2])
    const broken = Array.from({ length: 9 }, () => lines())
    await expectError(valuesOf(served(...broken).client, { live: false }), 'server_unavailable')
    const away = served(...down)
    await expectError(valuesOf(away.client), 'server_unavailable')
    expect(away.server.exchanged).toHaveLength(3)
  })

  test('fails with what the server says of it', async () => {
    const gap = { kind: 'not_found', code: 'offset_gap', detail: 'Gone.', details: {}, status: 404 }
    const { server, client } = served(lines(HEAD, due(1, 1, 1), { error: gap }))
    await expectError(valuesOf(client), 'offset_gap')
    expect(server.exchanged).toHaveLength(1)
    const refused = { ...gap, kind: 'invalid', code: 'query_invalid', status: 400 }
    await expectError(valuesOf(served(problem(400, refused)).client), 'query_invalid')
    const late = (): void => {}
    const options = { late } as unknown as StreamQueryOptions
    await expectError(valuesOf(client, options), 'argument_invalid')
    await client.close()
    await expectError(valuesOf(client), 'engine_closed')
  })

  test('ends its request when the loop is left, its signal fires, or it is closed', async () => {
    for (const leave of ['break', 'signal', 'close'] as const) {
      const { response, cancelled } = openLines(HEAD, due(1, 2, 1, 2))
      const controller = new AbortController()
      const { signal } = controller
      const windows = served(response).client.streamSql('SELECT', { signal })
      const values: unknown[] = []
      for await (const { n } of windows) {
        if (values.push(n) === 1) continue
        if (leave === 'break') break
        if (leave === 'signal') controller.abort()
        else await windows.close()
      }
      await cancelled
      expect(values).toEqual([1, 2])
    }
  })
})
