import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { type PostAnswer, httpSink } from '../../../src/replay/http-sink.ts'
import { expectError } from '../../support/expect-error.ts'
import { logDefinition } from '../../support/manifests.ts'
import { sampleBatch, sampleSchema } from '../../support/sample-batches.ts'

const LOG = logDefinition(1, { name: 'orders' })
const BATCH = sampleBatch(sampleSchema({ n: 'int32' }), [{ n: 1 }, { n: 2 }, { n: 3 }], {
  baseOffset: 40,
})

interface Endpoint {
  readonly clock: VirtualClock
  readonly bodies: string[]
  readonly headers: Readonly<Record<string, string>>[]
  readonly times: number[]
  readonly append: (batch?: typeof BATCH) => Promise<void>
}

/** An endpoint with these answers, one after the other; null: no answer comes. Then all is taken. */
function endpoint(answers: readonly (number | PostAnswer | null)[]): Endpoint {
  const clock = new VirtualClock()
  const left = [...answers]
  const seen: Omit<Endpoint, 'append'> = { clock, bodies: [], headers: [], times: [] }
  const sink = httpSink(
    { url: 'http://127.0.0.1:1/', headers: { authorization: 'x' } },
    {
      clock,
      random: seededRandom(1),
      encode: (_log, _partition, batch) => `${batch.baseOffset}+${batch.length}\n`,
      post: async (body, headers) => {
        seen.bodies.push(Buffer.from(body).toString())
        seen.headers.push(headers)
        seen.times.push(clock.monotonic())
        const answer = left.length === 0 ? 200 : left.shift()
        if (answer === null) throw new StratalogError('sink_unavailable', 'connection reset')
        return typeof answer === 'number'
          ? { status: answer, retryAfterMs: null }
          : (answer ?? { status: 200, retryAfterMs: null })
      },
    },
  )
  const append = async (batch = BATCH): Promise<void> => {
    let isDone = false
    const appending = sink.append(LOG, 2, batch).finally(() => (isDone = true))
    appending.catch(() => {})
    while (!isDone) {
      await systemClock.yield()
      clock.advance(1_000)
    }
    await appending
  }
  return { ...seen, append }
}

describe('an HTTP sink', () => {
  test('posts a batch with its place, so that one that comes twice is known', async () => {
    const { append, bodies, headers } = endpoint([])
    await append()
    expect(bodies).toEqual(['40+3\n'])
    expect(headers[0]).toEqual({
      authorization: 'x',
      'content-type': 'application/x-ndjson',
      'idempotency-key': 'orders/2/40-43',
      'stratalog-log': 'orders',
      'stratalog-partition': '2',
      'stratalog-from': '40',
      'stratalog-to': '43',
    })
  })

  test('sends the same body again when no answer came, or one that passes', async () => {
    const { append, bodies, headers } = endpoint([null, 503, 429])
    await append()
    expect(bodies).toEqual(Array.from({ length: 4 }, () => '40+3\n'))
    expect(new Set(headers.map((sent) => sent['idempotency-key'])).size).toBe(1)
  })

  test('waits as long as it is asked to', async () => {
    const { append, times } = endpoint([{ status: 503, retryAfterMs: 20_000 }])
    await append()
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(20_000)
  })

  test('follows no redirect and repeats nothing that was refused', async () => {
    for (const status of [301, 307, 400, 401, 404, 413]) {
      const { append, bodies } = endpoint([status])
      const error = await expectError(append(), 'sink_refused')
      expect(error.details).toMatchObject({ status, log: 'orders', partition: 2, from: 40, to: 43 })
      expect(bodies).toHaveLength(1)
    }
  })

  test('gives up after some tries, and says at which offsets', async () => {
    const { append, bodies } = endpoint(Array.from({ length: 20 }, () => 500))
    const error = await expectError(append(), 'sink_unavailable')
    expect(error.details).toMatchObject({ status: 500, from: 40, to: 43 })
    expect(bodies).toHaveLength(10)
  })

  test('cuts a batch that is too long for one body', async () => {
    const rows = Array.from({ length: 10_000 }, (_, n) => ({ n }))
    const { append, bodies } = endpoint([])
    await append(sampleBatch(sampleSchema({ n: 'int32' }), rows, { baseOffset: 5 }))
    expect(bodies).toEqual(['5+4096\n', '4101+4096\n', '8197+1808\n'])
  })
})
