/** `import`: patterns, JSON access logs, and going on after a break with each record once. */
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'

const place = new CliPlace()
afterAll(() => place.remove())

interface Imported {
  readonly records: number
  readonly rejected: number
}

interface Rows {
  readonly rows: readonly (readonly unknown[])[]
}

test('a pattern means its files, by name; a file that is called so is itself', async () => {
  const data = place.fresh()
  mkdirSync(join(place.root, 'days'))
  for (const [day, n] of [
    ['2', 2],
    ['1', 1],
  ] as const)
    place.file(`days/${day}.ndjson.gz`, gzipSync(`{"n":${n}}\n`))
  place.file('days/[3].ndjson', '{"n":3}\n')
  const names = [join(place.root, 'days/*.gz'), join(place.root, 'days/[3].ndjson')]
  expect(await runJson<Imported>(['import', ...data, '--log', 'l', ...names])).toMatchObject({
    records: 3,
  })
  const { stdout } = await runCli(['read', ...data, '--log', 'l', '--columns', 'n'])
  expect(jsonLines(stdout)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  const none = join(place.root, 'days/*.csv')
  const { status, stderr } = await runCli(['import', ...data, '--log', 'l', none])
  expect([status, stderr]).toEqual([3, expect.stringContaining('No file is called like')])
})

test('JSON access logs keep their times, and people are shown the columns', async () => {
  const data = place.fresh()
  const file = place.file(
    'access.json',
    [
      '{"time":"10/Oct/2000:13:55:36 -0700","status":200,"path":"/a"}',
      '{"time":"2000-10-10T20:55:37Z","status":404,"path":"/b"}\n',
    ].join('\n'),
  )
  const flags = ['--log', 'access', '--time-column', 'time', file]
  const { stdout } = await runCli(['import', ...data, ...flags])
  expect(stdout).toContain('access: time timestamp[ms], status')
  expect((await runJson<Rows>(['sql', 'SELECT time, status FROM access', ...data])).rows).toEqual([
    ['2000-10-10T20:55:36.000Z', 200],
    ['2000-10-10T20:55:37.000Z', 404],
  ])
})

test('floats that are whole and great come back from NDJSON as they went there', async () => {
  const data = place.fresh()
  const lines = ['{"n":0.5}\n', `${JSON.stringify({ n: 1e17 })}\n`, '{"n":0.25}\n']
  for (const line of lines)
    await runJson<Imported>(['import', ...data, '--log', 'floats', place.file('line', line)])
  const read = ['read', ...data, '--log', 'floats', '--columns', 'n']
  expect((await runCli(read)).stdout).toBe(lines.join(''))
  // Enough of it goes to another thread, and what that one cannot do comes back.
  const many = place.file('many', lines.join('').repeat(1_000))
  expect(await runJson<Imported>(['import', ...data, '--log', 'floats', many])).toMatchObject({
    records: 3_000,
    rejected: 0,
  })
})

test('rejects keep their line numbers behind megabytes of lines that are read the quick way', async () => {
  const data = place.fresh()
  const bad = new Map([
    [5_000, '{"n":5000,}'],
    [7_501, '{"n":'],
    [9_000, '{"n":{}}'],
  ])
  const pad = 'x'.repeat(900)
  const lines = Array.from({ length: 9_001 }, (_, index) =>
    index % 1_000 === 3 ? '' : (bad.get(index + 1) ?? `{"n":${index + 1},"pad":"${pad}"}`),
  )
  const file = place.file('long.ndjson', lines.join('\n'))
  const rejects = join(place.root, 'long.rejects')
  const flags = ['--log', 'long', '--rejects', rejects, file]
  const taken = lines.flatMap((line, index) =>
    line === '' || bad.has(index + 1) ? [] : [index + 1],
  )
  expect(await runJson<Imported>(['import', ...data, ...flags])).toMatchObject({
    records: taken.length,
    rejected: 3,
  })
  const numbers = jsonLines(readFileSync(rejects, 'utf8')).map((reject) => reject['line'])
  expect(numbers).toEqual([...bad.keys()])
  const { stdout } = await runCli(['read', ...data, '--log', 'long', '--columns', 'n'])
  expect(jsonLines(stdout).map(({ n }) => n)).toEqual(taken)
})

/** Kills an import again and again once it has noted that it is further than before. */
async function killed(args: readonly string[], notes: string, times: number): Promise<number> {
  let kills = 0
  let seen = ''
  while (kills < times) {
    const child = spawnCli(args)
    child.stdin.end()
    const ended = once(child, 'close')
    while (child.exitCode === null) {
      const text = existsSync(notes) ? readFileSync(notes, 'utf8') : ''
      if (text !== '' && text !== seen) {
        seen = text
        child.kill('SIGKILL')
        break
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ended
    if (child.signalCode !== 'SIGKILL') break
    kills++
  }
  return kills
}

test('an import of lines that is killed goes on, with each record and each reject once', async () => {
  const data = place.fresh()
  const lines = Array.from({ length: 3_000 }, (_, n) =>
    n % 500 === 499 ? `{"n":"bad ${n}"}` : `{"n":${n}}`,
  )
  const file = place.file('many.ndjson', `${lines.join('\n')}\n`)
  const [notes, rejects] = [join(place.root, 'lines.resume'), join(place.root, 'lines.rejects')]
  const where = [...data, '--log', 'many', '--resume', notes, '--rejects', rejects]
  const args = [
    'import',
    ...where,
    '--batch-records',
    '50',
    '--schema',
    place.file('s', '{"n":"int64"}'),
  ]
  expect(await killed([...args, file], notes, 4)).toBeGreaterThan(1)
  await runJson([...args, file])
  const { stdout } = await runCli(['read', ...data, '--log', 'many', '--columns', 'n'])
  expect(jsonLines(stdout).map(({ n }) => n)).toEqual(
    lines.flatMap((_, n) => (n % 500 === 499 ? [] : [n])),
  )
  const rejected = jsonLines(readFileSync(rejects, 'utf8')).map(({ line }) => line)
  expect(new Set(rejected)).toEqual(new Set([500, 1_000, 1_500, 2_000, 2_500, 3_000]))
  // What is done is done.
  expect(await runJson<Imported>([...args, file])).toMatchObject({ records: 0, rejected: 0 })
  const other = await runCli([...args, place.file('other.ndjson', '{"n":1}\n'), '--json'])
  expect([other.status, jsonLines(other.stderr)[0]]).toMatchObject([
    2,
    { error: { code: 'input_invalid' } },
  ])
})

test('an import of columns that is killed goes on, over all of its files', async () => {
  const data = place.fresh()
  const rows = (from: number): string =>
    `n,text\n${Array.from({ length: 100_000 }, (_, n) => `${from + n},t${n % 10}\n`).join('')}`
  const files = [place.file('a.csv', rows(0)), place.file('b.csv', rows(100_000))]
  const notes = join(place.root, 'columns.resume')
  const args = ['import', ...data, '--log', 'many', '--resume', notes, ...files]
  expect(await killed(args, notes, 3)).toBeGreaterThan(1)
  await runJson(args)
  const sql = 'SELECT count(*), count(DISTINCT n), min(n), max(n), bool_and(n = _offset) FROM many'
  expect((await runJson<Rows>(['sql', sql, ...data])).rows).toEqual([
    [200_000, 200_000, 0, 199_999, true],
  ])
})

test('standard input and logs of several partitions are not gone on with', async () => {
  const notes = join(place.root, 'no.resume')
  const args = ['import', ...place.fresh(), '--log', 'l', '--resume', notes]
  expect((await runCli([...args, '-'], { input: '{"n":1}\n' })).status).toBe(2)
  const file = place.file('one.ndjson', '{"n":1}\n')
  expect((await runCli([...args, '--partitions', '2', file])).status).toBe(2)
})
