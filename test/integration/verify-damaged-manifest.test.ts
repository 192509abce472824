/** A manifest that does not load: `verify` says part by part what the files beside it hold, and where. */
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stratalog, verifyFiles } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const FIRST = 300
const SECOND = 200
const LOGGED = 20

/** Made once; every test damages a copy. */
let original = ''
let commits: readonly string[] = []

beforeAll(async () => {
  original = await mkdtemp(join(tmpdir(), 'stratalog-test-'))
  const db = await Stratalog.open({
    dataDir: `${original}/data`,
    archive: `file://${original}/archive`,
  })
  const [a, b] = [await db.createLog('a'), await db.createLog('b')]
  for (const log of [a, b]) await log.append(rows(0, FIRST))
  await db.tier.now({ to: 'object' })
  for (const log of [a, b]) await log.append(rows(FIRST, SECOND))
  await db.tier.now({ to: 'disk' })
  const c = await db.createLog('c')
  for (const log of [a, c]) await log.append(rows(0, LOGGED))
  await db.close()
  commits = (await readdir(`${original}/data/manifest`)).toSorted()
})

afterAll(() => rm(original, { recursive: true, force: true }))

function rows(from: number, count: number): { id: number; note: string }[] {
  return Array.from({ length: count }, (_, index) => ({
    id: from + index,
    note: `note ${(from + index) * 7919}`,
  }))
}

async function copied(): Promise<{ root: string; dataDir: string; archive: string }> {
  const root = await temporaryDirectory()
  await cp(original, root, { recursive: true })
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive` }
}

async function flip(path: string, position: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[position] = (bytes[position] ?? 0) ^ 1
  await writeFile(path, bytes)
}

/** The commit that says first what `pattern` finds. */
async function commitWith(dataDir: string, pattern: RegExp): Promise<string> {
  for (const name of commits) {
    const path = `${dataDir}/manifest/${name}`
    if (pattern.test(await readFile(path, 'utf8'))) return path
  }
  throw new Error(`No commit has ${String(pattern)}.`)
}

async function segmentOf(dataDir: string, logId: number, from: number): Promise<string> {
  const directory = `${dataDir}/segments/${logId}/0`
  const start = String(from).padStart(16, '0')
  const name = (await readdir(directory)).find((candidate) => candidate.startsWith(start))
  return `${directory}/${name ?? 'nothing'}`
}

test('beside a damaged commit a damaged segment is still reported, and each part with what of it is left', async () => {
  const { dataDir } = await copied()
  const commit = await commitWith(dataDir, /"name":"c"/)
  await flip(commit, 200)
  const damaged = await segmentOf(dataDir, 2, FIRST)
  await flip(damaged, 3_000)
  const { verdict, problems, remains } = await verifyFiles({ dataDir })
  expect(verdict).toBe('FAIL')
  const [first] = problems
  expect(first).toMatchObject({ where: commit, position: 0, kind: 'checksum', readable: false })
  expect(problems).toContainEqual(
    expect.objectContaining({
      where: damaged,
      kind: 'checksum',
      log: 'b',
      partition: 0,
      from: FIRST,
      to: FIRST + SECOND,
      readable: false,
    }),
  )
  const parts = problems.filter(({ where, log }) => where === commit && log !== null)
  const told = parts.map(({ log, partition, from, to, readable }) => [
    log,
    partition,
    from,
    to,
    readable,
  ])
  expect(told).toEqual([
    ['a', 0, 0, FIRST, null],
    ['a', 0, FIRST, FIRST + SECOND + LOGGED, false],
    ['b', 0, 0, FIRST, null],
    ['b', 0, FIRST, FIRST + SECOND, false],
  ])
  expect(parts[1]?.reason).toMatch(/lie in sound files/)
  const a = remains.filter(({ log, in: tier }) => log === 'a' && tier === 'disk')
  expect(a).toMatchObject([
    { from: 0, to: FIRST, where: await segmentOf(dataDir, 1, 0), position: 0 },
    { from: FIRST, to: FIRST + SECOND, where: await segmentOf(dataDir, 1, FIRST) },
  ])
  expect(remains.some(({ where }) => where === damaged)).toBe(false)
  const inWal = remains.filter(({ in: tier }) => tier === 'wal')
  expect(inWal).toContainEqual(expect.objectContaining({ log: 'a', to: FIRST + SECOND + LOGGED }))
  // Those of the damaged segment are in no other sound file.
  expect(inWal).toContainEqual(expect.objectContaining({ log: 'b', to: FIRST + SECOND }))
  // Its own commit is the damaged one: nothing that can be read says its name.
  expect(inWal).toContainEqual(
    expect.objectContaining({ log: null, logId: 3, from: 0, to: LOGGED }),
  )
})

test('what the archive has of a directory with a damaged manifest is readable, and the rest is not', async () => {
  const { dataDir, archive } = await copied()
  const commit = await commitWith(dataDir, /"name":"c"/)
  await flip(commit, 200)
  const { problems } = await verifyFiles({ dataDir, archive })
  const parts = problems.filter(({ log }) => log !== null)
  const told = parts.map(({ log, from, to, readable }) => [log, from, to, readable])
  expect(told).toEqual([
    ['a', 0, FIRST, true],
    ['a', FIRST, FIRST + SECOND + LOGGED, false],
    ['b', 0, FIRST, true],
    ['b', FIRST, FIRST + SECOND, false],
  ])
  await using reader = await Stratalog.openArchive(archive)
  expect(await reader.log('b').read().toArray()).toHaveLength(FIRST)
})

test('what was in the damaged commit is found by what its files say, and a lost WAL is missed', async () => {
  const { dataDir, archive } = await copied()
  const wanted = await segmentOf(dataDir, 2, FIRST)
  const name = wanted.slice(wanted.lastIndexOf('/') + 1)
  const commit = await commitWith(dataDir, new RegExp(name))
  await flip(commit, 200)
  await rm(`${dataDir}/wal`, { recursive: true })
  const sound = await verifyFiles({ dataDir, archive })
  expect(sound.remains).toContainEqual(
    expect.objectContaining({ log: 'b', from: FIRST, to: FIRST + SECOND, where: wanted }),
  )
  expect(sound.problems).toContainEqual(
    expect.objectContaining({ kind: 'missing', where: `${dataDir}/wal`, readable: false }),
  )
  // Nothing but the file itself says what it should be.
  await flip(wanted, 3_000)
  const { problems, remains } = await verifyFiles({ dataDir, archive })
  const place = { log: 'b', partition: 0, from: FIRST, to: FIRST + SECOND, readable: false }
  expect(problems).toContainEqual(
    expect.objectContaining({ kind: 'checksum', where: wanted, ...place }),
  )
  expect(problems).toContainEqual(
    expect.objectContaining({
      where: commit,
      ...place,
      reason: expect.stringMatching(/No sound file/) as string,
    }),
  )
  expect(remains.some(({ where }) => where === wanted)).toBe(false)
  // Commits behind it are read for what they say.
  const file = problems.find(({ where, log }) => where === commit && log === null)
  expect(file?.reason).toMatch(/Behind it commits \d+ to \d+ can be read, about c/)
})

test('an archive with a damaged manifest is looked at part by part too', async () => {
  const { root, dataDir, archive } = await copied()
  const directory = `${root}/archive/manifest`
  const last = (await readdir(directory)).toSorted().at(-1) ?? ''
  await flip(`${directory}/${last}`, 200)
  const { problems, remains } = await verifyFiles({ archive })
  expect(problems[0]).toMatchObject({ where: `${archive}/manifest/${last}`, position: 0 })
  expect(remains).toHaveLength(2)
  for (const log of ['a', 'b'])
    expect(remains).toContainEqual(
      expect.objectContaining({ log, from: 0, to: FIRST, in: 'object' }),
    )
  // Nothing opens it, so it is no copy to read from.
  await flip(await segmentOf(dataDir, 1, 0), 3_000)
  const both = await verifyFiles({ dataDir, archive })
  expect(both.problems).toContainEqual(
    expect.objectContaining({ where: await segmentOf(dataDir, 1, 0), kind: 'checksum', log: 'a' }),
  )
})

test('the error names the damaged file and its position, and says what to do', async () => {
  const { dataDir, archive } = await copied()
  const commit = await commitWith(dataDir, /"name":"c"/)
  await flip(commit, 200)
  for (const open of [
    () => Stratalog.openReadOnly({ dataDir }),
    () => Stratalog.open({ dataDir, archive }),
  ]) {
    const error = await expectError(open(), 'manifest_corrupt')
    expect(error.message).toContain(`${commit} is damaged`)
    expect(error.message).toMatch(/at or behind byte 0:/)
    expect(error.message).toMatch(/stratalog verify/)
    expect(error.message).toMatch(/restore/)
    expect(error.details).toMatchObject({ file: commit.slice(dataDir.length + 1), position: 0 })
  }
})
