/** Logs of an archive come into a running engine whole, or leave nothing there. */
import { cpSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { restoreLogs } from '../../src/engine/restore-logs.ts'
import { removeUnfinishedRestores } from '../../src/engine/restoring-logs.ts'
import { type StorageOptions, Stratalog, verifyFiles } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HIDDEN = /^stratalog\.restoring\.[0-9a-f]+$/

let root: string
let archive: string

/** Two logs, each of two segments of one record. */
beforeEach(async () => {
  root = await temporaryDirectory()
  archive = `file://${root}/archive`
  await using db = await Stratalog.open({ dataDir: `${root}/source`, archive })
  for (const name of ['a', 'b']) {
    const log = await db.createLog(name, { schema: { n: 'int64' } })
    for (const n of [1, 2]) {
      await log.append({ n })
      await db.tier.now({ to: 'object' })
    }
  }
})

async function openTarget(defaults: StorageOptions = {}): Promise<Stratalog> {
  const db = await Stratalog.open({ dataDir: `${root}/target`, defaults })
  onTestFinished(() => db.close())
  return db
}

function names(db: Stratalog): readonly string[] {
  return db.logs().map(({ name }) => name)
}

/** Takes the first segment of log `b` away. */
async function loseObject(): Promise<void> {
  const folder = `${root}/archive/segments/2/0`
  const [first = ''] = (await readdir(folder)).toSorted()
  await rm(`${folder}/${first}`)
}

test('under new names, with their offsets, and the policy of the engine', async () => {
  const db = await openTarget()
  const rename = { b: 'c' }
  const result = await restoreLogs(db, { archive, logs: ['a', 'b'], rename })
  expect(result).toMatchObject({ records: 4, verified: true, plan: { logs: 2, segments: 4 } })
  expect(names(db)).toEqual(['a', 'c'])
  expect(await db.log('c').read().toArray()).toMatchObject([
    { n: 1, _offset: 0 },
    { n: 2, _offset: 1 },
  ])
  expect(db.log('c').describe().policy.archiveAfter).toBeNull()
})

test('a name that is taken is refused before anything is made', async () => {
  const db = await openTarget()
  const log = await db.createLog('b')
  await log.append({ mine: true })
  const error = await expectError(restoreLogs(db, { archive, logs: ['a', 'b'] }), 'log_exists')
  expect(error.message).toContain('give it another name by rename')
  expect(names(db)).toEqual(['b'])
  expect(await log.get(0)).toMatchObject({ mine: true })
})

test('damage takes away what was made before it, and the names are free', async () => {
  await loseObject()
  const db = await openTarget()
  await expectError(restoreLogs(db, { archive, logs: ['a', 'b'] }), 'offset_gap')
  expect(names(db)).toEqual([])
  expect(await restoreLogs(db, { archive, logs: ['a'] })).toMatchObject({ records: 2 })
})

test('an engine in RAM takes what is there, and says what is missing', async () => {
  await loseObject()
  await using db = await Stratalog.memoryOnly()
  const result = await restoreLogs(db, { archive, logs: ['b'] })
  expect(result).toMatchObject({
    records: 1,
    verified: false,
    missing: [{ log: 'b', partition: 0, from: 0, to: 1 }],
  })
})

test('when it is aborted on the way nothing of it stays', async () => {
  const db = await openTarget()
  const controller = new AbortController()
  const restoring = restoreLogs(db, {
    archive,
    logs: ['a', 'b'],
    signal: controller.signal,
    onProgress: () => controller.abort(),
  })
  await expectError(restoring, 'aborted')
  expect(names(db)).toEqual([])
})

test('until it is whole nobody finds it, and a kill leaves no log of its name', async () => {
  const db = await openTarget()
  const meanwhile: Promise<unknown>[] = []
  await restoreLogs(db, {
    archive,
    logs: ['a', 'b'],
    onProgress: () => {
      if (meanwhile.length > 0) return
      expect(() => db.log('b')).toThrow("no log 'b'")
      meanwhile.push(expectError(db.createLog('b'), 'log_exists'))
      cpSync(`${root}/target`, `${root}/killed`, { recursive: true })
    },
  })
  expect(meanwhile).toHaveLength(1)
  await Promise.all(meanwhile)
  expect(names(db)).toEqual(['a', 'b'])
  await using killed = await Stratalog.open({ dataDir: `${root}/killed` })
  expect(names(killed)).toEqual([expect.stringMatching(HIDDEN), expect.stringMatching(HIDDEN)])
  await removeUnfinishedRestores(killed)
  expect(names(killed)).toEqual([])
  expect(await restoreLogs(killed, { archive, logs: ['b'] })).toMatchObject({ records: 2 })
})

test('what was restored goes on as any log does, in the archive of the engine too', async () => {
  const dataDir = `${root}/target`
  const own = `file://${root}/own`
  {
    await using db = await Stratalog.open({ dataDir, archive: own })
    await restoreLogs(db, { archive, logs: ['a', 'b'] })
    await db.log('b').append({ n: 3 })
    await db.tier.now({ to: 'object' })
  }
  await using db = await Stratalog.open({ dataDir, archive: own })
  expect(names(db)).toEqual(['a', 'b'])
  expect(await db.log('b').read().toArray()).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }])
  expect(await verifyFiles({ dataDir, archive: own })).toMatchObject({ verdict: 'PASS' })
  await using copy = await Stratalog.memoryOnly()
  expect(await restoreLogs(copy, { archive: own, logs: ['b'] })).toMatchObject({
    records: 3,
    verified: true,
  })
})

async function openInRam(place: string): Promise<Stratalog> {
  if (place === 'disk') return openTarget({ mode: 'memory' })
  const db = await Stratalog.memoryOnly()
  onTestFinished(() => db.close())
  return db
}

test.each(['memory', 'disk'])(
  'a log in RAM (%s) is found by nobody before all of it is there',
  async (place) => {
    const db = await openInRam(place)
    const refused: Promise<unknown>[] = []
    let looks = 0
    await restoreLogs(db, {
      archive,
      logs: ['a', 'b'],
      onProgress: () => {
        looks++
        expect(names(db)).toEqual([])
        expect(db.status().logs).toEqual([])
        expect(() => db.log('b')).toThrow("no log 'b'")
        refused.push(expectError(db.createLog('b'), 'log_exists'))
        refused.push(expectError(db.produce('b', { n: 7 }), 'log_exists'))
      },
    })
    expect(looks).toBeGreaterThan(1)
    await Promise.all(refused)
    expect(names(db)).toEqual(['a', 'b'])
    await db.log('b').append({ n: 3 })
    expect(await db.log('b').read().toArray()).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }])
  },
)

test.each(['memory', 'disk'])(
  'a restore into RAM (%s) that ends in the middle leaves nothing, and gives its memory back',
  async (place) => {
    const db = await openInRam(place)
    const before = db.memoryMetrics().usedBytes
    for (const end of ['aborted', 'failed']) {
      const controller = new AbortController()
      const { signal } = controller
      const onProgress = (): void => {
        if (end === 'aborted') controller.abort()
        else throw new Error('The sink broke.')
      }
      const restoring = restoreLogs(db, { archive, logs: ['a', 'b'], signal, onProgress })
      await expect(restoring).rejects.toThrow()
      expect(names(db)).toEqual([])
      expect(db.memoryMetrics().usedBytes).toBe(before)
    }
    await restoreLogs(db, { archive, logs: ['b'] })
    expect(await db.log('b').read().toArray()).toMatchObject([{ n: 1 }, { n: 2 }])
  },
)
