import { readFile, readdir, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { Stratalog, restoreArchive, verifyFiles } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

/** Files of segments below a directory, by name, with their bytes. */
async function filesIn(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const name of (await readdir(directory, { recursive: true })).toSorted())
    if (/\.(pack|arrow)$/.test(name)) files.set(name, await readFile(`${directory}/${name}`))
  return files
}

async function bytesIn(directory: string): Promise<number> {
  let bytes = 0
  for (const name of (await filesIn(directory)).keys())
    bytes += (await stat(`${directory}/${name}`)).size
  return bytes
}

/** Which of the logs have a record somewhere in the files. */
async function legible(directory: string): Promise<readonly number[]> {
  const files = [...(await filesIn(directory)).values()]
  const secrets = Array.from({ length: 12 }, (_, log) => log)
  return secrets.filter((log) => files.some((bytes) => bytes.includes(`SECRET-${log}-`)))
}

interface Filled {
  readonly db: Stratalog
  readonly clock: VirtualClock
  readonly place: { readonly dataDir: string; readonly archive: string }
  readonly bucket: string
}

/** Twelve logs whose segments share a pack, in the bucket and on disk; the last is a fork of the first. */
async function filled(): Promise<Filled> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  const bucket = `${root}/bucket`
  const place = { dataDir: `${root}/data`, archive: `file://${bucket}` }
  const db = await Stratalog.open(place, { clock })
  await db.tier.pause()
  for (let log = 0; log < 12; log++) {
    const made = await db.createLog(`log-${log}`, { storage: { diskTtl: '7d' } })
    const noise = Array.from({ length: 20 }, (_, part) => `${Math.sin(log * 20 + part)}`).join('')
    await made.append([{ text: `SECRET-${log}-${noise}` }])
  }
  await db.tier.now()
  await db.fork('log-0', 'fork')
  return { db, clock, place, bucket }
}

test('the records of deleted logs are gone from the bucket, and the cost goes down with the bytes', async () => {
  const { db, clock, place, bucket } = await filled()
  {
    await using open = db
    const stored = (): number | undefined => open.status().archive?.storedBytes
    expect(stored()).toBe(await bytesIn(bucket))
    await open.snapshot({ name: 'monday', logs: ['log-1'] })
    for (let log = 1; log < 12; log++) if (log !== 2) await open.deleteLog(`log-${log}`)
    expect(stored()).toBe(await bytesIn(bucket))
    expect(await legible(bucket)).toHaveLength(12)
    // As the scheduler does every minute.
    clock.advance(HOUR + 1)
    expect(await open.tier.collect({ dryRun: true })).toMatchObject({ rewritten: 1, collected: [] })
    expect(await open.tier.collect()).toMatchObject({ rewritten: 1 })
    expect(stored()).toBe(await bytesIn(bucket))
    clock.advance(HOUR + 1)
    await open.tier.collect()
    expect(await legible(bucket)).toEqual([0, 1, 2])
    expect(stored()).toBe(await bytesIn(bucket))
    for (const log of ['log-0', 'log-2', 'fork'])
      expect(await open.log(log).read().toArray()).toHaveLength(1)
    await open.deleteSnapshot('monday')
    clock.advance(HOUR + 1)
    await open.tier.collect()
    await open.tier.collect({ grace: 0 })
    expect(await legible(bucket)).toEqual([0, 2])
    expect(stored()).toBe(await bytesIn(bucket))
  }
  expect(await verifyFiles(place)).toMatchObject({ verdict: 'PASS', problems: [], notes: [] })
  const whole = { archive: place.archive, dataDir: `${bucket}-restored`, eager: true }
  expect(await restoreArchive(whole)).toMatchObject({ records: 3, verified: true })
})
