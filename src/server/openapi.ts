/** The routes as OpenAPI 3.1, made of the routes themselves: a path that is served is described, and no other. */
import { PACKAGE_VERSION } from '../engine/version.ts'
import { REQUEST_PROBLEMS } from './http-error.ts'
import type { Route } from './router.ts'

export function openApiOf(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace('...}', '}')
    const operations = (paths[path] ??= {})
    operations[route.method.toLowerCase()] = operationOf(route)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Stratalog', version: PACKAGE_VERSION },
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Problem: {
          type: 'object',
          required: ['title', 'status', 'code', 'detail', 'requestId'],
          properties: {
            title: { type: 'string' },
            status: { type: 'integer' },
            kind: { type: 'string' },
            code: { type: 'string' },
            detail: { type: 'string' },
            details: { type: 'object' },
            requestId: { type: 'string' },
          },
        },
      },
    },
  }
}

function operationOf({ method, path, scope, summary }: Route): object {
  const names = [...path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map((match) => match[1] ?? '')
  const problem = {
    description: 'A problem.',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  }
  const refusals =
    scope === null ? [] : [REQUEST_PROBLEMS.token_missing, REQUEST_PROBLEMS.scope_missing]
  return {
    operationId: operationIdOf(method, path),
    summary,
    parameters: names.map((name) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    })),
    ...(scope === null ? {} : { security: [{ token: [] }], 'x-scope': scope }),
    responses: {
      '2XX': { description: 'Done.' },
      ...Object.fromEntries(refusals.map((status) => [String(status), problem])),
      default: problem,
    },
  }
}

function operationIdOf(method: string, path: string): string {
  const words = path.split(/\W+/).filter((word) => word !== '')
  const capital = (word: string): string => `${word.charAt(0).toUpperCase()}${word.slice(1)}`
  return `${method.toLowerCase()}${words.map(capital).join('')}`
}
