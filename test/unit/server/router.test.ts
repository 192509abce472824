import { expect, test } from 'vitest'
import type { Exchange } from '../../../src/server/exchange.ts'
import { RequestProblem } from '../../../src/server/http-error.ts'
import { type Method, type Route, Router } from '../../../src/server/router.ts'

const route = (method: Method, path: string): Route => ({
  method,
  path,
  scope: null,
  summary: path,
  run: () => {},
})

const router = new Router([
  route('GET', '/v1/logs'),
  route('POST', '/v1/logs'),
  route('GET', '/v1/logs/{log}'),
  route('GET', '/v1/stream/{path...}'),
])

/** The route's path with its parameters, or the code of the refusal with what is allowed. */
function find(method: string, path: string): unknown {
  let parameters = {}
  const exchange = {
    method,
    path,
    setParameters: (given: object) => {
      parameters = given
    },
  } as Exchange
  try {
    return [router.find(exchange).path, parameters]
  } catch (error) {
    if (!(error instanceof RequestProblem)) throw error
    return [error.code, error.headers['allow']]
  }
}

test('a path finds its route, with its parts decoded', () => {
  expect(find('GET', '/v1/logs')).toEqual(['/v1/logs', {}])
  expect(find('GET', '/v1/logs/a%20b')).toEqual(['/v1/logs/{log}', { log: 'a b' }])
  expect(find('GET', '/v1/stream/a/b%2Fc')).toEqual(['/v1/stream/{path...}', { path: 'a/b/c' }])
  expect(find('HEAD', '/v1/logs')).toEqual(['/v1/logs', {}])
})

test('a path that is not there, a method that is not taken and a bad escape are told apart', () => {
  for (const path of ['/', '/v1', '/v1/logs/', '/v1/logs/a/b', '/v1/stream', '//v1/logs'])
    expect(find('GET', path), path).toEqual(['route_not_found', undefined])
  expect(find('DELETE', '/v1/logs')).toEqual(['method_not_allowed', 'GET, POST'])
  expect(find('GET', '/v1/logs/%')).toEqual(['request_invalid', undefined])
})
