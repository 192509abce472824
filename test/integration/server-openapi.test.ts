/** What the server says of itself is what it does: OpenAPI, its routes and docs/http-api.md have the same paths. */
import { expect, test } from 'vitest'
import { readText } from '../support/repository.ts'
import { TestServer } from '../support/server.ts'

interface OpenApi {
  readonly openapi: string
  readonly paths: Record<
    string,
    Record<
      string,
      { readonly operationId: string; readonly parameters: readonly { readonly name: string }[] }
    >
  >
}

const METHODS = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS']

test('every described operation is served, no other is, and the page has all of them', async () => {
  const server = await TestServer.start([])
  const { openapi, paths } = await server.json<OpenApi>('/openapi.json')
  expect(openapi).toBe('3.1.0')
  const page = readText('docs/http-api.md')
  const ids: string[] = []
  for (const [path, operations] of Object.entries(paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    for (const method of METHODS) {
      const operation = operations[method.toLowerCase()]
      const { status } = await server.fetch(path.replaceAll(/\{\w+\}/g, 'none'), { method })
      if (operation === undefined) {
        expect(status, `${method} ${path}`).toBe(405)
        continue
      }
      expect([405, 500], `${method} ${path}`).not.toContain(status)
      expect(operation.parameters.map(({ name }) => name)).toEqual(named)
      ids.push(operation.operationId)
      if (!path.startsWith('/v1/stream'))
        expect(page, `${method} ${path}`).toContain(`${method} ${path}`)
    }
  }
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.length).toBeGreaterThan(20)
  await server.stop()
})
