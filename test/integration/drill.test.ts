/** Drills of a real archive: sound it passes, and each planted damage ends in FAIL with its object and its offsets. */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseSegmentTail } from '../../src/format/segment-reader.ts'
import { type DrillReport, Stratalog, drillArchive } from '../../src/index.ts'
import { runCli } from '../support/cli.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const soundArchive = join(root, 'archive')

/** Three segments of a thousand records, in three blocks each. */
beforeAll(async () => {
  const archive = pathToFileURL(soundArchive).href
  await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive })
  const log = await db.createLog('a')
  for (let base = 0; base < 3_000; base += 1_000) {
    const row = (n: number): object => ({ n, text: `record ${n * 7919} `.repeat(200) })
    await log.append(Array.from({ length: 1_000 }, (_, index) => row(base + index)))
    await db.tier.now()
  }
}, 60_000)
afterAll(() => rmSync(root, { recursive: true, force: true }))

interface Planted {
  readonly directory: string
  /** Keys of the segments, in offset order. */
  readonly keys: readonly string[]
}

function copyOfArchive(): Planted {
  const directory = join(mkdtempSync(join(root, 'copy-')), 'archive')
  cpSync(soundArchive, directory, { recursive: true })
  const files = readdirSync(join(directory, 'segments'), { recursive: true, encoding: 'utf8' })
  const keys = files.filter((name) => name.endsWith('.arrow')).map((name) => `segments/${name}`)
  return { directory, keys: keys.toSorted() }
}

const drillOf = ({ directory }: Planted): Promise<DrillReport> =>
  drillArchive({ archive: pathToFileURL(directory).href })

function change(path: string, to: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, to(readFileSync(path)))
}

/** Where the bodies of the second block lie. */
function secondBlock(bytes: Buffer): { readonly start: number; readonly end: number } {
  const tail = parseSegmentTail(bytes, bytes.length)
  if (tail.kind !== 'facts') throw new Error('the footer is longer than the segment')
  const [, second, third] = tail.facts.batches
  return { start: second?.position ?? 0, end: third?.position ?? 0 }
}

describe('a drill', () => {
  test('of the sound archive passes', async () => {
    const planted = copyOfArchive()
    expect(planted.keys).toHaveLength(3)
    expect(await drillOf(planted)).toMatchObject({ verdict: 'PASS', reasons: [], records: 3_000 })
  })

  test.each<[string, (planted: Planted) => void, string, string]>([
    [
      'a flipped bit',
      ({ directory, keys }) =>
        change(join(directory, keys[1] ?? ''), (bytes) => {
          const { start, end } = secondBlock(bytes)
          const position = (start + end) >> 1
          bytes[position] = (bytes[position] ?? 0) ^ 4
          return bytes
        }),
      'is damaged (checksum)',
      'offsets [1',
    ],
    [
      'a truncation',
      ({ directory, keys }) =>
        change(join(directory, keys[1] ?? ''), (bytes) => bytes.subarray(0, bytes.length >> 1)),
      'is damaged (truncated)',
      'offsets [1000, 2000)',
    ],
    [
      'a missing object',
      ({ directory, keys }) => rmSync(join(directory, keys[1] ?? '')),
      'is missing',
      'offsets [1000, 2000)',
    ],
    [
      'two swapped objects',
      ({ directory, keys }) => {
        const [one, other] = [join(directory, keys[1] ?? ''), join(directory, keys[2] ?? '')]
        const bytes = readFileSync(one)
        change(one, () => readFileSync(other))
        change(other, () => bytes)
      },
      'is damaged (',
      'offsets [1000, 2000)',
    ],
    [
      'a dropped frame',
      ({ directory, keys }) =>
        change(join(directory, keys[1] ?? ''), (bytes) => {
          const { start, end } = secondBlock(bytes)
          const rest = [bytes.subarray(0, start), bytes.subarray(end)]
          return Buffer.concat([...rest, Buffer.alloc(end - start)])
        }),
      'is damaged (checksum)',
      'offsets [1000, 2000)',
    ],
    [
      'a wrong row count',
      ({ directory, keys }) =>
        // What an engine that lost the last record of an append would have written there.
        change(join(directory, keys[1] ?? ''), (bytes) => {
          const text = bytes.toString('latin1')
          return Buffer.from(text.replaceAll('"endOffset":2000', '"endOffset":1999'), 'latin1')
        }),
      'is damaged (',
      'offsets [1000, 2000)',
    ],
  ])('of an archive with %s fails and names it', async (_, plant, damage, offsets) => {
    const planted = copyOfArchive()
    const before = planted.keys.map((key) => readFileSync(join(planted.directory, key)))
    plant(planted)
    const isSame = planted.keys.every((key, index) => {
      const files = readdirSync(planted.directory, { recursive: true, encoding: 'utf8' })
      if (!files.includes(key)) return false
      return readFileSync(join(planted.directory, key)).equals(before[index] ?? Buffer.alloc(0))
    })
    expect(isSame).toBe(false)
    const report = await drillOf(planted)
    expect(report.verdict).toBe('FAIL')
    const named = report.reasons.filter(
      (reason) => reason.includes(planted.keys[1] ?? '') && reason.includes(damage),
    )
    expect(named.join('\n'), report.reasons.join('\n')).toContain(offsets)
  })

  test('of an archive with a stale manifest fails and names what it lost', async () => {
    const planted = copyOfArchive()
    const folder = join(planted.directory, 'manifest')
    const edits = readdirSync(folder).filter((name) => name.endsWith('.edit'))
    let report = await drillOf(planted)
    for (const name of edits.toSorted().toReversed()) {
      if (report.verdict === 'FAIL') break
      rmSync(join(folder, name))
      report = await drillOf(planted)
    }
    expect(report.reasons.join('\n')).toContain(
      `Object ${planted.keys[2]} holds records behind all that the manifest names`,
    )
    expect(report.reasons.join('\n')).toContain('offsets [2000, 3000)')
  })

  test('ends with status 10 on FAIL and writes a page with a picture', async () => {
    const planted = copyOfArchive()
    rmSync(join(planted.directory, planted.keys[0] ?? ''))
    const page = join(root, 'report.html')
    const archive = pathToFileURL(planted.directory).href
    const { status, stdout } = await runCli([
      ...['drill', '--archive', archive, '--report', page, '--json'],
      ...['--check', `SELECT '<b>'`, '--expect', '[["<b>"]]'],
    ])
    expect(status).toBe(10)
    const report = JSON.parse(stdout) as DrillReport
    expect(report.timeline.map(({ step }) => step)).toEqual([
      ...['open archive', 'audit', 'restore', 'open engine', 'verify', 'check'],
    ])
    expect(report.missing).toEqual([
      { key: planted.keys[0], log: 'a', partition: 0, from: 0, to: 1_000 },
    ])
    const html = readFileSync(page, 'utf8')
    expect(html).toContain('<span class="FAIL">FAIL</span>')
    expect(html).toContain('SELECT &#39;&lt;b&gt;&#39;'.replaceAll('&#39;', `'`))
    expect(html).not.toContain('<b>')
    expect(html.match(/<rect /g)).toHaveLength(6)
    expect(html).not.toMatch(/src=|href=|@import/)
  })
})

test('a drill says the hash of each latest view, and holds it against the live engine', async () => {
  const place = mkdtempSync(join(root, 'keyed-'))
  const [dataDir, archive] = [join(place, 'data'), pathToFileURL(join(place, 'archive')).href]
  let hash: string
  {
    await using db = await Stratalog.open({ dataDir, archive })
    const users = await db.createLog('users', { keyColumn: 'id' })
    await db.createLog('plain').then((log) => log.append({ n: 1 }))
    for (let round = 0; round < 5; round++)
      await users.append(Array.from({ length: 20 }, (_, id) => ({ id, round, _deleted: id === 7 })))
    await db.tier.now()
    hash = await users.latestHash()
    await users.append({ id: 1, round: 99, _deleted: false })
  }
  const report = await drillArchive({ archive, against: dataDir })
  expect(report).toMatchObject({ verdict: 'PASS', hashEqual: true, latestEqual: true })
  expect(report.logs.map(({ name, latestHash }) => [name, latestHash])).toEqual([
    ['plain', null],
    ['users', hash],
  ])
  expect(await drillArchive({ archive })).toMatchObject({ verdict: 'PASS', latestEqual: null })
})
