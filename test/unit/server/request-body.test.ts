import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { BodyBudget, withBody } from '../../../src/server/request-body.ts'

/** A request whose body is there. */
function requestOf(body: string): IncomingMessage {
  const stream = new PassThrough()
  stream.end(body)
  return Object.assign(stream, {
    headers: { 'content-length': String(body.length) },
  }) as unknown as IncomingMessage
}

test.each([60, 100_000])('a body of %i bytes counts until its use ends', async (length) => {
  const budget = new BodyBudget(1.5 * length)
  const text = 'x'.repeat(length)
  const { promise: isUsed, resolve } = Promise.withResolvers<void>()
  const { promise: isThere, resolve: arrived } = Promise.withResolvers<void>()
  const first = withBody(requestOf(text), budget, length, async (body) => {
    arrived()
    await isUsed
    return body.toString()
  })
  await isThere
  const again = (): Promise<number> =>
    withBody(requestOf(text), budget, length, async (body) => body.length)
  await expect(again()).rejects.toMatchObject({ code: 'server_busy' })
  resolve()
  expect(await first).toBe(text)
  expect(await again()).toBe(length)
})

test('a body that fails in use counts no more', async () => {
  const budget = new BodyBudget(100)
  for (let turn = 0; turn < 3; turn++) {
    const use = withBody(requestOf('x'.repeat(80)), budget, 100, () =>
      Promise.reject(new Error('no')),
    )
    await expect(use).rejects.toThrow('no')
  }
})
