/** Segments that share packs, on disk and in the archive, are to every reader what segments of their own are. */
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog, drillArchive, restoreArchive, verifyFiles } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const LOGS = ['a', 'b', 'c', 'd']
const COUNT = 20

function rows(log: string): Record<string, unknown>[] {
  return Array.from({ length: COUNT }, (_, n) => ({ n, text: `${log}-${n}` }))
}

async function fill(db: Stratalog): Promise<void> {
  for (const name of LOGS) {
    const log = await db.createLog(name, {
      storage: { diskTtl: '1h', archiveAfter: '1h' },
    })
    await log.append(rows(name))
  }
}

/** Files below `directory` that are segments or packs. */
async function stored(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory, { recursive: true })
  return names.filter((name) => /\.(pack|arrow)$/.test(name))
}

async function answers(db: Stratalog): Promise<unknown> {
  const union = LOGS.map((log) => `SELECT '${log}' AS log, * FROM ${log}`).join(' UNION ALL ')
  const result = await db.query(
    `SELECT log, count(*)::INT AS n, sum(n)::INT AS sum, min(text) AS text FROM (${union})
     GROUP BY log ORDER BY log`,
  )
  return result.toArray()
}

async function textsOf(db: Stratalog): Promise<unknown> {
  const all: unknown[] = []
  for (const name of LOGS)
    all.push((await db.log(name).read().toArray()).map(({ text }) => String(text)).toSorted())
  return all
}

/** Every byte, and nothing that no manifest names. */
async function expectSound(place: Parameters<typeof verifyFiles>[0]): Promise<void> {
  const { verdict, problems, notes } = await verifyFiles(place)
  const orphans = notes.filter(({ kind }) => kind === 'orphan')
  expect([verdict, problems, orphans]).toEqual(['PASS', [], []])
}

test('packs are queried, verified, restored, replayed and drilled', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const expectedTexts = LOGS.map((log) =>
    rows(log)
      .map(({ text }) => String(text))
      .toSorted(),
  )
  const expected = LOGS.map((log) => ({ log, n: COUNT, sum: 190, text: `${log}-0` }))
  {
    await using db = await Stratalog.open(place)
    await db.tier.pause()
    await fill(db)
    await db.tier.now({ to: 'disk' })
  }
  expect(await stored(place.dataDir)).toEqual([expect.stringMatching(/^packs\/.*\.pack$/)])
  await expectSound(place)
  {
    // Nothing is in RAM: all comes from the pack on disk.
    await using db = await Stratalog.open(place)
    expect(await answers(db)).toEqual(expected)
    expect(await textsOf(db)).toEqual(expectedTexts)
    await db.tier.now({ to: 'object' })
    await db.snapshot({ name: 'monday' })
  }
  expect(await stored(`${root}/archive`)).toEqual([expect.stringMatching(/^packs\/.*\.pack$/)])
  await expectSound(place)
  expect(await verifyFiles({ archive: place.archive, snapshot: 'monday' })).toMatchObject({
    verdict: 'PASS',
  })

  expect(await drillArchive({ archive: place.archive })).toMatchObject({ verdict: 'PASS' })
  for (const eager of [true, false]) {
    const dataDir = `${root}/restored-${eager}`
    const restored = await restoreArchive({ archive: place.archive, dataDir, eager })
    const records = LOGS.length * COUNT
    expect(restored).toMatchObject({ records, isLazy: !eager, verified: eager, missing: [] })
    await using db = await Stratalog.open({ dataDir, archive: place.archive })
    expect(await textsOf(db)).toEqual(expectedTexts)
  }
  {
    await using db = await Stratalog.open({ dataDir: `${root}/replayed` })
    const report = await db.replayFromArchive(place.archive)
    expect(report).toMatchObject({ records: LOGS.length * COUNT, missing: [], corrupt: [] })
    expect(await answers(db)).toEqual(expected)
    expect(await textsOf(db)).toEqual(expectedTexts)
  }

  // The directory is lost: all comes from the pack in the archive.
  await rm(place.dataDir, { recursive: true })
  await using reader = await Stratalog.openArchive(place.archive)
  const batches = await reader.log('c').read().toArray()
  expect(batches.map(({ text }) => String(text)).toSorted()).toEqual(expectedTexts[2])
})

test('verify finds damage in a pack by the records that it takes, and says of a pack that nobody can read that it stays', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place)
    await db.tier.pause()
    await fill(db)
    await db.tier.now({ to: 'object' })
  }
  const [pack = ''] = await stored(`${root}/archive`)
  const stray = `packs/${'0'.repeat(pack.length - 'packs/.pack'.length)}.pack`
  await writeFile(`${root}/archive/${stray}`, 'not a pack')
  const sound = await verifyFiles({ archive: place.archive })
  expect(sound).toMatchObject({ verdict: 'PASS', problems: [] })
  expect(sound.notes).toMatchObject([{ kind: 'orphan' }])
  expect(sound.notes[0]?.reason).toContain('`tier collect` leaves it alone')

  const bytes = await readFile(`${root}/archive/${pack}`)
  const middle = bytes.length - 1_000
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  await writeFile(`${root}/archive/${pack}`, bytes)
  const { problems } = await verifyFiles({ archive: place.archive })
  expect(problems).toHaveLength(1)
  expect(problems).toMatchObject([{ log: 'd', partition: 0, kind: 'checksum' }])
})
