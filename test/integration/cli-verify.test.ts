/** `verify` on the command line, and `inspect` of files that say who and what rather than hold records. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { runCli, runJson } from '../support/cli.ts'
import { goldenPath } from '../support/manifests.ts'

const place = new CliPlace()
beforeAll(() => place.fill())
afterAll(() => place.remove())

const FIELDS = ['where', 'position', 'kind', 'log', 'partition', 'from', 'to', 'readable']

test('verify prints its verdict, ends with 8 when there are problems, and says what is still readable', async () => {
  const sound = await runJson<Record<string, unknown>>(['verify', ...place.where])
  expect(sound).toMatchObject({ verdict: 'PASS', problems: [] })
  expect(Number(sound['files'])).toBeGreaterThan(5)
  expect(Number(sound['bytes'])).toBeGreaterThan(1_000)

  const segments = join(place.dataDir, 'segments/1/0')
  const path = join(segments, readdirSync(segments)[0] ?? '')
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.with(2_000, (bytes[2_000] ?? 0) ^ 4))
  const damaged = await runCli(['verify', ...place.where, '--json'])
  expect([damaged.status, damaged.stderr]).toEqual([8, ''])
  const { verdict, problems } = JSON.parse(damaged.stdout) as {
    verdict: string
    problems: Record<string, unknown>[]
  }
  expect(verdict).toBe('FAIL')
  expect(problems).toMatchObject([
    {
      where: path,
      kind: 'checksum',
      log: 'events',
      partition: 0,
      from: 0,
      to: 1_000,
      readable: true,
    },
  ])
  expect(Object.keys(problems[0] ?? {})).toEqual(expect.arrayContaining(FIELDS))

  const shown = await runCli(['verify', '--data-dir', place.dataDir])
  expect(shown.status).toBe(8)
  expect(shown.stdout).toContain('FAIL')
  expect(shown.stdout).toContain(path)
  expect(shown.stdout).toContain('archive not looked at')
  // Nothing is told of progress in a pipe.
  expect(shown.stderr).toBe('')
  writeFileSync(path, bytes)
  expect((await runCli(['verify', '--archive', place.archive])).stdout).toContain('PASS')
  expect((await runCli(['verify'])).status).toBe(2)
})

test('inspect tells a lock and an unfinished restore for what they are, and a damaged file by its name', async () => {
  const lock = join(place.dataDir, 'lock')
  expect(await runJson(['inspect', lock])).toMatchObject({ kind: 'lock', holder: null })
  const held = '{"pid":7,"host":"a","since":"2026-01-31T12:00:00.000Z"}\n'
  expect(await runJson(['inspect', place.file('lock', held)])).toMatchObject({
    kind: 'lock',
    holder: { pid: 7, host: 'a' },
  })
  const restoring =
    '{"stratalog":"restoring","formatVersion":2,"engineId":"e","archive":"file:///a","selection":{"at":5},"commit":7,"plan":"ab"}\n'
  expect(await runJson(['inspect', place.file('restoring.json', restoring)])).toMatchObject({
    kind: 'restoring',
    archive: 'file:///a',
  })
  const broken = await runCli([
    'inspect',
    place.file('restoring.json', restoring.slice(0, 60)),
    '--json',
  ])
  expect(broken.status).toBe(8)
  expect(JSON.parse(broken.stderr)).toMatchObject({ error: { code: 'file_corrupt' } })
  // Its first bytes no longer say what it is; its name does.
  const wal = readdirSync(join(place.dataDir, 'wal')).find((name) => name.endsWith('.wal')) ?? ''
  const bytes = readFileSync(join(place.dataDir, 'wal', wal))
  bytes.fill(0, 0, 512)
  writeFileSync(join(place.dataDir, 'wal', wal), bytes)
  const zeroed = await runCli(['inspect', '--data-dir', place.dataDir, `wal/${wal}`, '--json'])
  expect(zeroed.status).toBe(8)
  expect(JSON.parse(zeroed.stderr)).toMatchObject({ error: { code: 'wal_corrupt' } })
})

test('inspect tells tokens, without their digests, and the mark of the newest commit', async () => {
  const golden = readFileSync(goldenPath('tokens-v1/tokens.json'), 'utf8')
  const shown = await runCli(['inspect', place.file('tokens.json', golden), '--json'])
  expect(JSON.parse(shown.stdout)).toMatchObject({
    kind: 'tokens',
    tokens: [
      { name: 'root', scopes: ['admin'], expiresAt: null },
      { name: 'shop', logs: 'shop.' },
    ],
  })
  expect(shown.stdout).not.toMatch(/digest|bbbb/)
  const cut = await runCli(['inspect', place.file('tokens.json', golden.slice(0, 90)), '--json'])
  expect([cut.status, JSON.parse(cut.stderr)]).toMatchObject([
    8,
    { error: { code: 'file_corrupt' } },
  ])
  const mark = readdirSync(place.dataDir).find((name) => name.startsWith('newest.')) ?? ''
  expect(await runJson(['inspect', join(place.dataDir, mark)])).toMatchObject({
    kind: 'newest',
    length: 0,
    commit: Number(mark.slice('newest.'.length)),
  })
  const long = await runCli(['inspect', place.file('newest.000000000004', 'x'), '--json'])
  expect(long.status).toBe(8)
})
