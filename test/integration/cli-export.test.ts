/** `export`: what a file holds is what `read` gives, from a directory, an archive and a server. */
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseArrowIpc } from '../../src/format/arrow-ipc.ts'
import { scanFile } from '../../src/query/file-scan.ts'
import { toNdjson } from '../../src/query/ndjson.ts'
import type { FieldChunk } from '../../src/query/record-format.ts'
import { CliPlace, EVENTS } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer
let sources: Readonly<Record<string, readonly string[]>>

beforeAll(async () => {
  await place.fill()
  server = await TestServer.start(place.where)
  sources = {
    directory: place.where,
    archive: ['--archive', place.archive],
    server: ['--url', server.url],
  }
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

const count = expect.any(Number) as number
let files = 0

function fileName(ending: string): string {
  files++
  return join(place.root, `out-${files}.${ending}`)
}

interface Exported {
  readonly records: number
  readonly bytes: number
}

async function recordsIn(path: string): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  for await (const { fields, columns, length } of chunksIn(path)) {
    const names = fields.map(({ name }) => name)
    for (const line of jsonLines(toNdjson({ names, columns, length }))) rows.push(line)
  }
  return rows
}

async function* chunksIn(path: string): AsyncGenerator<FieldChunk> {
  if (path.endsWith('.csv')) yield* scanFile(path, { format: 'csv' })
  else if (path.endsWith('.parquet')) yield* scanFile(path, { format: 'parquet' })
  else yield* await parseArrowIpc(readFileSync(path))
}

test.each([
  ['directory', 'csv'],
  ['directory', 'arrow'],
  ['directory', 'arrows'],
  ['archive', 'parquet'],
  ['server', 'parquet'],
  ['server', 'arrow'],
  ['server', 'csv'],
])('from a %s a file that ends in .%s has every record', async (kind, ending) => {
  const output = fileName(ending)
  const where = sources[kind] ?? []
  const columns = ['--columns', 'n,name,price,ok,_offset']
  const args = ['export', ...where, '--log', 'events', ...columns, '--output', output]
  const exported = await runJson(args)
  expect(exported).toEqual({
    file: output,
    format: ending.replace('arrows', 'arrow'),
    records: EVENTS.length,
    bytes: readFileSync(output).length,
    elapsedMs: count,
  })
  expect(await recordsIn(output)).toEqual(EVENTS.map((event) => ({ ...event, _offset: event.n })))
})

test.each(['directory', 'archive', 'server'])(
  'the flags of read choose the records of a %s',
  async (kind) => {
    const output = fileName('ndjson')
    const where = sources[kind] ?? []
    const range = ['--log', 'events', '--from', '990', '--columns', 'n,_offset']
    const more = ['--to', '999', '--last', '9', '--limit', '5', '--as-of', 'first']
    const args = [...where, ...range, ...more]
    const { records } = await runJson<Exported>(['export', ...args, '--output', output])
    expect(records).toBe(5)
    const read = await runCli(['read', ...args, '--format', 'ndjson'])
    expect(read.stdout).toBe(readFileSync(output, 'utf8'))
    expect(jsonLines(read.stdout)[0]).toEqual({ n: 991, _offset: 991 })
  },
)

test.each(['directory', 'server'])(
  'without records a file of a %s has its columns',
  async (kind) => {
    const output = fileName('csv')
    const range = ['--log', 'events', '--from', '5', '--to', '5', '--columns', '_offset,name,n']
    await runJson(['export', ...(sources[kind] ?? []), ...range, '--output', output])
    expect(readFileSync(output, 'utf8')).toBe('_offset,name,n\r\n')
  },
)

test('compressed files are what they are called', async () => {
  const flags = ['export', ...place.where, '--log', 'events', '--columns', 'n', '--output']
  const gzip = fileName('ndjson.gz')
  const zstd = fileName('ndjson.zst')
  await runJson([...flags, gzip])
  await runJson([...flags, zstd])
  const lines = EVENTS.map(({ n }) => ({ n }))
  expect(jsonLines(gunzipSync(readFileSync(gzip)).toString())).toEqual(lines)
  expect(jsonLines(zstdDecompressSync(readFileSync(zstd)).toString())).toEqual(lines)
})

test('a file that is there stays as it is, unless --force replaces it', async () => {
  const output = fileName('csv')
  writeFileSync(output, 'mine')
  const args = ['export', ...place.where, '--log', 'events', '--output', output]
  const { status, stderr } = await runCli([...args, '--json'])
  expect(status).toBe(4)
  expect(jsonLines(stderr)[0]).toMatchObject({ error: { code: 'file_exists' } })
  expect(readFileSync(output, 'utf8')).toBe('mine')
  await runJson([...args, '--force'])
  expect(readFileSync(output, 'utf8')).toContain('event 3')
})

test('a name that does not say the format, a folder that is none and a log that is not there are told', async () => {
  const statusOf = async (log: string, output: string): Promise<unknown> => {
    const args = ['export', ...place.where, '--log', log, '--output', output, '--json']
    const { status, stderr } = await runCli(args)
    const { error } = jsonLines(stderr)[0] as { error: { code: string } }
    return [status, error.code]
  }
  expect(await statusOf('events', fileName('txt'))).toEqual([2, 'argument_invalid'])
  expect(await statusOf('events', place.root)).toEqual([2, 'argument_invalid'])
  expect(await statusOf('events', `${place.root}.csv/x.csv`)).toEqual([3, 'file_not_found'])
  const output = fileName('csv')
  expect(await statusOf('nowhere', output)).toEqual([3, 'log_not_found'])
  expect(existsSync(output)).toBe(false)
})

test('an export that is interrupted leaves nothing behind', async () => {
  const data = place.fresh()
  const rows = Array.from({ length: 300_000 }, (_, n) => `{"n":${n},"text":"${'x'.repeat(40)}"}\n`)
  await runJson(['import', ...data, '--log', 'many', '-'], { input: rows.join('') })
  const before = readdirSync(place.root)
  const output = join(place.root, 'broken.parquet')
  const child = spawnCli(['export', ...data, '--log', 'many', '--output', output])
  // The temporary file is there once the export is under way.
  while (readdirSync(place.root).length === before.length && child.exitCode === null)
    await new Promise((resolve) => setImmediate(resolve))
  child.kill('SIGINT')
  await once(child, 'close')
  expect(child.exitCode).toBe(130)
  expect(readdirSync(place.root)).toEqual(before)
})
