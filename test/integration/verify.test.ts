/** `verify` names every damage: what it is, which records it costs, and whether another copy has them. */
import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stratalog, verifyFiles } from '../../src/index.ts'
import type { VerifyReport } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const FLUSHED = 600
const LOGGED = 40

/** Made once; every test damages a copy. */
let original = ''

beforeAll(async () => {
  original = await mkdtemp(join(tmpdir(), 'stratalog-test-'))
  const db = await Stratalog.open({
    dataDir: `${original}/data`,
    archive: `file://${original}/archive`,
  })
  const log = await db.createLog('orders')
  await log.append(rows(0, FLUSHED))
  await db.snapshot({ name: 'first' })
  await log.append(rows(FLUSHED, FLUSHED))
  await db.tier.now({ to: 'disk' })
  for (let from = 2 * FLUSHED, sequence = 0; from < 2 * FLUSHED + LOGGED; from += 10, sequence++)
    await log.append(rows(from, 10), { producer: { producerId: 'importer', epoch: 0, sequence } })
  await db.close()
})

afterAll(() => rm(original, { recursive: true, force: true }))

function rows(from: number, count: number): { id: number; note: string }[] {
  return Array.from({ length: count }, (_, index) => ({
    id: from + index,
    note: `note ${(from + index) * 7919}`,
  }))
}

interface Place {
  readonly dataDir: string
  readonly archive: string
}

async function copied(): Promise<Place & { readonly root: string }> {
  const root = await temporaryDirectory()
  await cp(original, root, { recursive: true })
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive` }
}

async function only(directory: string, pattern: RegExp): Promise<string> {
  const names = await readdir(directory, { recursive: true })
  const name = names.toSorted().find((candidate) => pattern.test(candidate))
  return `${directory}/${name ?? 'nothing'}`
}

async function flip(path: string, position: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[position] = (bytes[position] ?? 0) ^ 1
  await writeFile(path, bytes)
}

function verify({ dataDir, archive }: Place): Promise<VerifyReport> {
  return verifyFiles({ dataDir, archive })
}

test('a directory and an archive that are whole have no problem, and every file counts', async () => {
  const place = await copied()
  const report = await verify(place)
  expect(report).toMatchObject({ verdict: 'PASS', problems: [], notes: [] })
  const names = [
    ...(await readdir(place.dataDir, { recursive: true, withFileTypes: true })),
    ...(await readdir(`${place.root}/archive`, { recursive: true, withFileTypes: true })),
  ]
  expect(report.files).toBe(names.filter((name) => name.isFile()).length)
  expect(await verifyFiles({ dataDir: place.dataDir })).toMatchObject({ verdict: 'PASS' })
  expect(await verifyFiles({ archive: place.archive })).toMatchObject({ verdict: 'PASS' })
})

test('a damaged disk segment is readable where the archive has it, and is not where it has not', async () => {
  const place = await copied()
  const archived = await only(`${place.dataDir}/segments`, /0000000000-[0-9a-f]+\.arrow$/)
  const local = await only(`${place.dataDir}/segments`, /0600-[0-9a-f]+\.arrow$/)
  await flip(archived, 3000)
  await rm(local)
  const { verdict, problems } = await verify(place)
  expect(verdict).toBe('FAIL')
  expect(problems).toMatchObject([
    {
      where: archived,
      kind: 'checksum',
      log: 'orders',
      partition: 0,
      from: 0,
      to: FLUSHED,
      readable: true,
    },
    {
      where: local,
      kind: 'missing',
      from: FLUSHED,
      to: 2 * FLUSHED,
      position: null,
      readable: false,
    },
  ])
  // Without the archive nobody knows.
  const alone = await verifyFiles({ dataDir: place.dataDir })
  expect(alone.problems.map(({ readable }) => readable)).toEqual([null, false])
})

test('a damaged object is readable where the directory has it', async () => {
  const place = await copied()
  const object = await only(`${place.root}/archive/segments`, /\.arrow$/)
  const bytes = await readFile(object)
  await writeFile(object, bytes.subarray(0, bytes.length - 100))
  const found = { kind: 'truncated', log: 'orders', partition: 0, from: 0, to: FLUSHED }
  expect((await verify(place)).problems).toMatchObject([{ ...found, readable: true }])
  expect((await verifyFiles({ archive: place.archive })).problems).toMatchObject([
    { ...found, readable: false },
  ])
})

test('a WAL frame that was acknowledged and is damaged is named with the offsets that it costs', async () => {
  const place = await copied()
  const wal = await only(`${place.dataDir}/wal`, /\.wal$/)
  const bytes = await readFile(wal)
  const frames: number[] = []
  for (let at = bytes.indexOf('WALF', 64); at >= 0; at = bytes.indexOf('WALF', at + 8))
    frames.push(at)
  const third = frames.at(-4) ?? 0
  await flip(wal, third + 90)
  const { problems } = await verify(place)
  expect(problems).toMatchObject([
    {
      where: wal,
      kind: 'checksum',
      position: third,
      log: 'orders',
      from: 2 * FLUSHED + 10,
      to: 2 * FLUSHED + LOGGED,
      readable: false,
    },
  ])
  await using reader = await Stratalog.openReadOnly({ dataDir: place.dataDir })
  const lost = reader.log('orders').read({ from: 2 * FLUSHED + 10 })
  await expectError(lost.toArray(), 'wal_corrupt')
})

test('a damaged manifest commit, a missing one and a damaged base are each named', async () => {
  const place = await copied()
  const commit = `${place.dataDir}/manifest/000000000003.edit`
  await flip(commit, 200)
  await rm(`${place.root}/archive/manifest/000000000002.edit`)
  const { problems } = await verify(place)
  expect(problems.filter(({ log }) => log === null)).toMatchObject([
    { where: commit, kind: 'checksum', readable: false },
    { where: `${place.archive}/manifest/000000000002.edit`, kind: 'missing', readable: false },
  ])
})

test('a manifest that is gone is missing, and what lies beside it says of itself what it is', async () => {
  const place = await copied()
  await rm(`${place.dataDir}/manifest`, { recursive: true })
  await rm(`${place.root}/archive/manifest`, { recursive: true })
  const { problems, remains } = await verify(place)
  const all = { log: 'orders', partition: 0, from: 0, readable: false }
  expect(problems).toMatchObject([
    { kind: 'missing', where: `${place.dataDir}/manifest`, log: null, readable: false },
    { kind: 'missing', where: `${place.archive}/manifest`, log: null, readable: false },
    { kind: 'missing', where: `${place.dataDir}/manifest`, ...all, to: 2 * FLUSHED + LOGGED },
    { kind: 'missing', where: `${place.archive}/manifest`, ...all, to: FLUSHED },
  ])
  expect(remains.map(({ in: tier, from, to }) => [tier, from, to])).toEqual([
    ['disk', 0, FLUSHED],
    ['disk', FLUSHED, 2 * FLUSHED],
    ['wal', 0, 2 * FLUSHED + LOGGED],
    ['object', 0, FLUSHED],
  ])
})

test('a manifest that has lost its end is stale, in the directory and in the archive', async () => {
  const place = await copied()
  const commits = (await readdir(`${place.dataDir}/manifest`)).toSorted()
  for (const name of commits.slice(1)) await rm(`${place.dataDir}/manifest/${name}`)
  const archived = (await readdir(`${place.root}/archive/manifest`)).toSorted()
  for (const name of archived.slice(1)) await rm(`${place.root}/archive/manifest/${name}`)
  const { problems } = await verify(place)
  const kinds = problems.map(({ where, kind }) => `${kind} ${where.replace(place.root, '')}`)
  expect(kinds).toContain('stale /data/manifest')
  expect(kinds).toContain(`stale file:///archive/manifest`)
})

test('what is not ours or unfinished is noted and is no problem', async () => {
  const place = await copied()
  await writeFile(`${place.dataDir}/notes.txt`, 'mine')
  await writeFile(`${place.dataDir}/segments/1/0/0.arrow~3.tmp`, 'half')
  await mkdir(`${place.dataDir}/cache`, { recursive: true })
  await writeFile(`${place.dataDir}/cache/${'0'.repeat(64)}`, 'other')
  const { verdict, notes } = await verify(place)
  expect(verdict).toBe('PASS')
  expect(notes.map(({ kind }) => kind).toSorted()).toEqual(['cache', 'foreign', 'temporary'])
})

test('the identity of another directory, and an archive of another engine, are told', async () => {
  const place = await copied()
  const other = await temporaryDirectory()
  const db = await Stratalog.open({ dataDir: `${other}/data`, archive: `file://${other}/archive` })
  await (await db.createLog('orders')).append(rows(0, 3))
  await db.tier.now()
  await db.close()
  const crossed = await verifyFiles({ dataDir: place.dataDir, archive: `file://${other}/archive` })
  expect(crossed.problems).toMatchObject([{ kind: 'foreign' }])
  await cp(`${other}/data/stratalog.json`, `${place.dataDir}/stratalog.json`)
  expect((await verify(place)).problems).toMatchObject([
    { kind: 'swapped', where: `${place.dataDir}/stratalog.json` },
  ])
})

test('two segments that changed places, and a WAL of another engine, are swapped', async () => {
  const place = await copied()
  const names = (await readdir(`${place.dataDir}/segments/1/0`)).toSorted()
  const [first, second] = names.map((name) => `${place.dataDir}/segments/1/0/${name}`)
  await rename(first ?? '', `${place.root}/aside`)
  await rename(second ?? '', first ?? '')
  await rename(`${place.root}/aside`, second ?? '')
  const { problems } = await verify(place)
  expect(problems).toHaveLength(2)
  expect(problems.map(({ where }) => where)).toEqual([first, second])
  const other = await temporaryDirectory()
  const db = await Stratalog.open({ dataDir: `${other}/data` })
  await (await db.createLog('orders')).append(rows(0, 3))
  await db.close()
  const again = await copied()
  const wal = await only(`${again.dataDir}/wal`, /\.wal$/)
  await cp(await only(`${other}/data/wal`, /\.wal$/), wal)
  expect((await verify(again)).problems).toMatchObject([
    { kind: 'swapped', where: wal, position: 0 },
  ])
})

test('what is no directory and no archive of ours is refused by name', async () => {
  const root = await temporaryDirectory()
  await expectError(verifyFiles({}), 'argument_invalid')
  await expectError(verifyFiles({ dataDir: `${root}/none` }), 'file_not_found')
  await writeFile(`${root}/photo.jpg`, 'x')
  await expectError(verifyFiles({ dataDir: root }), 'directory_foreign')
  await expectError(verifyFiles({ archive: `file://${root}` }), 'archive_not_found')
})

test('a directory that is being written has no problem, however its files move', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const db = await Stratalog.open({
    ...place,
    defaults: { memoryTtl: 1, diskAfter: 1, archiveAfter: 1, diskTtl: 1 },
  })
  const log = await db.createLog('orders')
  let isWriting = true
  const writing = (async () => {
    for (let from = 0; isWriting; from += 100) {
      await log.append(rows(from, 100))
      if (from % 500 === 0) await db.tier.now()
    }
  })()
  try {
    for (let look = 0; look < 15; look++) {
      const { problems } = await verify(place)
      expect(problems).toEqual([])
    }
  } finally {
    isWriting = false
    await writing
    await db.close()
  }
})
