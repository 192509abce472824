import { createServer } from 'node:http'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { systemRandom } from '../../../src/base/random.ts'
import { CorsPolicy } from '../../../src/server/cors.ts'
import { HostList } from '../../../src/server/host-list.ts'
import { HttpServer } from '../../../src/server/http-server.ts'
import { type Route, Router } from '../../../src/server/router.ts'

const echo: Route = {
  method: 'POST',
  path: '/v1/echo',
  scope: null,
  summary: 'What was sent.',
  run: async (exchange) => exchange.send(200, {}, await exchange.body(1_000)),
}

/** What comes back until the server closes the connection, which this side does not. */
function answerTo(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
      socket.write(bytes),
    )
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    socket.on('end', () => {
      resolve(text)
      socket.destroy()
    })
  })
}

test.each([
  ['head', 'POST /v1/echo HTTP/1.1\r\nhost: localhost\r\n'],
  ['body', 'POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc'],
])(
  'a %s that is slow is cut off with 408, by a server that looks each second',
  async (_, bytes) => {
    const intervals: unknown[] = []
    const server = new HttpServer({
      createServer: (options, listener) => {
        intervals.push(options.connectionsCheckingInterval)
        return createServer({ ...options, headersTimeout: 50, requestTimeout: 60 }, listener)
      },
      router: new Router([echo]),
      hosts: new HostList([]),
      cors: CorsPolicy.of([], false),
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      authorize: () => null,
      onAnswer: () => {},
    })
    const port = await server.listen('127.0.0.1', 0)
    expect(intervals).toEqual([1_000])
    expect(await answerTo(port, bytes)).toMatch(/^HTTP\/1\.1 408 /)
    await server.stop()
  },
)
