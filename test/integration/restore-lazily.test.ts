import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive, verifyFiles } from '../../src/index.ts'
import { restore } from '../../src/cli/commands/restore.ts'
import type { Session } from '../../src/cli/session.ts'
import { systemClock } from '../../src/base/clock.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const DAY = 24 * 3_600_000

interface Place {
  readonly root: string
  readonly archive: string
  readonly clock: VirtualClock
}

/** An archive with a hybrid log of two segments, the first of them two days old, and a persistent log of one. */
async function archived(): Promise<Place> {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const clock = new VirtualClock(1_700_000_000_000)
  const db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
  const log = await db.createLog('orders', { storage: { mode: 'hybrid', diskTtl: '1d' } })
  const kept = await db.createLog('kept', { storage: { mode: 'hybrid' } })
  await log.append(Array.from({ length: 100 }, (_, n) => ({ n })))
  await kept.append({ n: 1 })
  await db.tier.now({ to: 'object' })
  clock.advance(2 * DAY)
  await log.append(Array.from({ length: 50 }, (_, n) => ({ n: 100 + n })))
  await db.tier.now({ to: 'object' })
  await db.close()
  await rm(`${root}/data`, { recursive: true })
  return { root, archive, clock }
}

async function numbers(db: Stratalog, name: string): Promise<number[]> {
  const rows = await db.log(name).read().toArray()
  return rows.map(({ n }) => Number(n))
}

const UP_TO = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

async function segmentFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir, { recursive: true })
  return names.filter((name) => name.startsWith('segments/') && name.endsWith('.arrow'))
}

test('a directory that was restored without its bytes is read and written without naming the archive', async () => {
  const { root, archive, clock } = await archived()
  const dataDir = `${root}/restored`
  const report = await restoreArchive({ archive, dataDir }, { clock })
  expect(report).toMatchObject({ isLazy: true, records: 151, missing: [], corrupt: [] })
  expect(await segmentFiles(dataDir)).toEqual([])
  {
    await using reader = await Stratalog.openReadOnly({ dataDir }, { clock })
    expect(await numbers(reader, 'orders')).toEqual(UP_TO(150))
    const answer = await reader.query('SELECT sum(n)::INT AS sum FROM orders')
    expect((await answer.toJson()).rows).toEqual([[11_175]])
  }
  {
    await using db = await Stratalog.open({ dataDir }, { clock })
    await db.log('orders').append({ n: 150 })
    expect(await numbers(db, 'orders')).toEqual(UP_TO(151))
  }
  expect(await verifyFiles({ dataDir })).toMatchObject({ verdict: 'PASS', problems: [] })
  expect(await verifyFiles({ dataDir, archive })).toMatchObject({ verdict: 'PASS', problems: [] })
  await using db = await Stratalog.open({ dataDir, archive }, { clock })
  expect(await numbers(db, 'orders')).toEqual(UP_TO(151))
  expect(await db.tier.now({ to: 'object' })).toMatchObject({ pending: 0, failed: [] })
})

test.each([true, false])(
  'its disk is filled with what the policies want there, and status says how far (with the archive: %s)',
  async (isNamed) => {
    const { root, archive, clock } = await archived()
    const dataDir = `${root}/restored`
    await restoreArchive({ archive, dataDir }, { clock })
    const options = { dataDir, ...(isNamed ? { archive } : {}) }
    await using db = await Stratalog.open(options, { clock })
    const before = db.status()
    expect(before.restore).toMatchObject({ onDisk: { segments: 0 }, pending: { segments: 1 } })
    expect(before.logs.find(({ name }) => name === 'orders')).toMatchObject({
      pendingRecords: 50,
      partitions: [{ next: { action: 'recall', inMs: 0 } }],
    })
    while (db.status().restore?.pending.segments !== 0) {
      clock.advance(250)
      await new Promise(setImmediate)
    }
    expect(db.status().restore).toMatchObject({
      onDisk: { segments: 1 },
      pending: { segments: 0, bytes: 0 },
    })
    // What is older than `diskTtl` stays where it is.
    expect(await segmentFiles(dataDir)).toHaveLength(1)
    expect(await numbers(db, 'orders')).toEqual(UP_TO(150))
  },
)

test('an object that is gone is named by the restore, and by who reads it', async () => {
  const { root, archive } = await archived()
  const [gone = ''] = (await readdir(`${root}/archive/segments/1/0`)).sort()
  await rm(`${root}/archive/segments/1/0/${gone}`)
  const dataDir = `${root}/restored`
  const report = await restoreArchive({ archive, dataDir })
  expect(report.missing).toMatchObject([{ log: 'orders', partition: 0, from: 0, to: 100 }])
  await using db = await Stratalog.openReadOnly({ dataDir })
  await expectError(numbers(db, 'orders'), 'object_not_found')
  expect(await db.log('orders').read({ from: 100 }).toArray()).toHaveLength(50)
})

test('a part of an archive is copied, and so is all of it on demand', async () => {
  const { root, archive } = await archived()
  const part = { archive, dataDir: `${root}/part`, logs: ['orders'] }
  expect(await restoreArchive(part)).toMatchObject({ isLazy: false, verified: true, records: 150 })
  const whole = { archive, dataDir: `${root}/whole`, eager: true }
  expect(await restoreArchive(whole)).toMatchObject({ isLazy: false, verified: true, records: 151 })
  await rm(`${root}/archive`, { recursive: true })
  for (const { dataDir } of [part, whole]) {
    await using db = await Stratalog.openReadOnly({ dataDir })
    expect(await numbers(db, 'orders')).toEqual(UP_TO(150))
  }
})

test('its manifest is checked file by file, also when newer bases have taken the place of the first', async () => {
  const { root, archive, clock } = await archived()
  const dataDir = `${root}/restored`
  await restoreArchive({ archive, dataDir }, { clock })
  const base = join(dataDir, 'manifest/000000000001.base')
  const bytes = await readFile(base)
  await rm(base)
  expect(await verifyFiles({ dataDir })).toMatchObject({ verdict: 'FAIL' })
  await writeFile(base, bytes)
  {
    await using db = await Stratalog.open({ dataDir }, { clock })
    for (let n = 0; n < 300; n++) await db.createLog(`log-${n}`)
  }
  expect(await readdir(join(dataDir, 'manifest'))).not.toContain('000000000001.base')
  expect(await verifyFiles({ dataDir })).toMatchObject({ verdict: 'PASS', problems: [] })
})

/** A terminal at which somebody answers `answer`, or nobody is. */
function session(answer: string | null): { session: Session; notes: string[]; asked: string[] } {
  const notes: string[] = []
  const asked: string[] = []
  const terminal = {
    outputClosed: false,
    outputIsTerminal: false,
    notesAreSeen: false,
    isInteractive: answer !== null,
    width: 80,
    write: async () => {},
    note: (line: string) => notes.push(line),
    noteRaw: () => {},
    ask: async (question: string) => {
      asked.push(question)
      return answer ?? ''
    },
    style: (_: unknown, text: string) => text,
  }
  const { signal } = new AbortController()
  return { session: { terminal, clock: systemClock, signal, json: false }, notes, asked }
}

test('the command says its plan, asks on a terminal, and does nothing without a yes', async () => {
  const { root, archive } = await archived()
  const dataDir = `${root}/restored`
  const refused = session('n')
  await expectError(restore(refused.session, { archive, dataDir }), 'aborted')
  expect(refused.asked).toHaveLength(1)
  expect(refused.notes.join('\n')).toMatch(
    /2 logs, 3 segments.*as of its commit \d+; there at once/,
  )
  expect(await readdir(root)).not.toContain('restored')
  const told = session('n')
  await restore(told.session, { archive, dataDir: `${root}/told`, yes: true })
  expect(told.asked).toEqual([])
  const agreed = session('yes')
  await restore(agreed.session, { archive, dataDir, logs: ['orders'] })
  expect(agreed.notes.join('\n')).toContain('it is copied whole')
  const unattended = session(null)
  await restore(unattended.session, { archive, dataDir: `${root}/unattended`, eager: true })
  expect(unattended.asked).toEqual([])
  expect(await readdir(root)).toEqual(expect.arrayContaining(['restored', 'told', 'unattended']))
})
