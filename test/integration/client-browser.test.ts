/** The client as browsers get it: one file that needs nothing of Node, run where there is nothing of it. */
import { createContext, runInContext } from 'node:vm'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repositoryRoot } from '../support/repository.ts'
import { TestServer } from '../support/server.ts'

/** Bytes of the bundle, not minified; a guard against what would come in by mistake. */
const BYTES_MAX = 70_000

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start([])
})
afterAll(() => server.stop())

async function bundled(): Promise<{
  code: string
  modules: readonly string[]
  imports: readonly string[]
}> {
  const bundle = await rolldown({
    input: join(repositoryRoot, 'src/client/index.ts'),
    platform: 'browser',
    external: /^[^./]/,
  })
  const { output } = await bundle.generate({ format: 'iife', name: 'stratalog' })
  const [{ code, moduleIds, imports, dynamicImports }] = output
  expect(output).toHaveLength(1)
  return { code, modules: moduleIds, imports: [...imports, ...dynamicImports] }
}

/** What browsers have, and workers of theirs, and nothing else. */
const WEB_GLOBALS = [
  'fetch',
  'URL',
  'Headers',
  'Request',
  'Response',
  'ReadableStream',
  'TextDecoder',
  'TextEncoder',
  'AbortController',
  'AbortSignal',
  'DOMException',
  'crypto',
  'performance',
  'setTimeout',
  'clearTimeout',
  'atob',
  'btoa',
] as const

describe('the client in a browser', () => {
  test('is small, is made of base and client only, and needs no module of Node', async () => {
    const { code, modules, imports } = await bundled()
    const folders = modules.map((path) => /src[\\/](\w+)/.exec(path)?.[1] ?? path)
    expect([...new Set(folders)].toSorted()).toEqual(['base', 'client'])
    // Loaded only to append a table of it.
    expect(imports).toEqual(['apache-arrow'])
    expect(code).not.toMatch(/['"]node:|\brequire\(|\bBuffer\.|\bprocess\.|\bglobal\./)
    expect(code.length).toBeLessThan(BYTES_MAX)
  })

  test('appends, reads, follows and asks with web globals only', async () => {
    const { code } = await bundled()
    const globals = globalThis as unknown as Readonly<Record<string, unknown>>
    const context = createContext(
      Object.fromEntries(WEB_GLOBALS.map((name) => [name, globals[name]])),
    )
    const program = `
      ${code}
      (async () => {
        const db = await stratalog.connect(${JSON.stringify(server.url)})
        const log = await db.createLog('clicks')
        await log.append({ n: 1, at: new Date(5), raw: new Uint8Array([1, 2]), big: 2n ** 60n })
        const rows = []
        for await (const row of log.read({ live: true }).rows()) {
          rows.push(row)
          if (rows.length === 2) break
          await log.append({ n: 2, big: 7n })
        }
        const result = await db.query('SELECT max(big) AS big, max(n) AS n FROM clicks')
        const found = (await result.toArray())[0]
        let code = null
        try { await db.log('none').get(0) } catch (error) { code = error.code }
        return JSON.stringify([
          rows.map(({ n, at, raw, big }) => [n, at?.getTime(), raw && [...raw], String(big)]),
          String(found.big), found.n, code,
        ])
      })()`
    const answer = JSON.parse(await (runInContext(program, context) as Promise<string>)) as unknown
    expect(answer).toEqual([
      [
        [1, 5, [1, 2], '1152921504606846976'],
        [2, null, null, '7'],
      ],
      '1152921504606846976',
      2,
      'log_not_found',
    ])
  })
})
