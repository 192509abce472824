/** Idempotent producers of a whole engine, on real files: options, partitions, restarts, restores and kills. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Log, Stratalog, restoreArchive } from '../../src/index.ts'
import { seededRandom } from '../../src/base/random.ts'
import { PRODUCER_ID_BYTES_MAX } from '../../src/format/limits.ts'
import { expectError } from '../support/expect-error.ts'
import { producerRows } from '../support/producer-rows.ts'
import { programAt } from '../support/program.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const stamp = (sequence: number, producerId = 'web-1', epoch = 0) => ({
  producer: { producerId, epoch, sequence },
})

async function values(log: Log): Promise<unknown[]> {
  return (await log.read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

describe('an append with a producer', () => {
  test.each<[string, object]>([
    ['no object', 7 as unknown as object],
    ['a key that there is not', { ...stamp(0).producer, id: 'x' }],
    ['no id', { epoch: 0, sequence: 0 }],
    ['an id of nothing', stamp(0, '').producer],
    ['an id with a lone surrogate', stamp(0, '\ud800').producer],
    ['an id that is too long', stamp(0, 'é'.repeat(PRODUCER_ID_BYTES_MAX / 2 + 1)).producer],
    ['an epoch below 0', stamp(0, 'a', -1).producer],
    ['a sequence of text', { ...stamp(0).producer, sequence: '0' }],
    ['a fraction of a sequence', stamp(0.5).producer],
    ['a sequence beyond the safe integers', stamp(2 ** 53).producer],
  ])('of %s is refused', async (_, producer) => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    await expectError(
      log.append({ n: 1 }, { producer } as unknown as Parameters<Log['append']>[1]),
      'argument_invalid',
    )
    expect(await values(log)).toEqual([])
  })

  test('takes the numbers as they are when it is called', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    const producer = { producerId: 'a', epoch: 0, sequence: 0 }
    const appends = [1, 2, 3].map((n) => {
      const append = log.append({ n }, { producer })
      producer.sequence++
      return append
    })
    expect((await Promise.all(appends)).map(({ offset }) => offset)).toEqual([0, 1, 2])
  })

  test('that was applied is answered while memory is full', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '64KB' })
    const log = await db.createLog('events', { storage: { evictionPolicy: 'reject' } })
    await log.append({ n: 0, text: 'x'.repeat(1_000) }, stamp(0))
    const filling = async (): Promise<never> => {
      for (let n = 1; ; n++) await log.append({ n, text: 'x'.repeat(1_000) })
    }
    await expectError(filling(), 'memory_full')
    expect(await log.append({ n: 0, text: 'x'.repeat(1_000) }, stamp(0))).toEqual({
      partition: 0,
      offset: 0,
      count: 1,
      isDuplicate: true,
    })
  })

  test('comes to one partition, whose key it has or else by the id of the producer', async () => {
    await using db = await Stratalog.memoryOnly()
    const plain = await db.createLog('plain', { partitions: 8 })
    const first = await plain.append({ n: 0 }, stamp(0))
    expect(await plain.append({ n: 1 }, stamp(1))).toMatchObject({ partition: first.partition })
    expect(await plain.append({ n: 0 }, stamp(0))).toEqual({ ...first, isDuplicate: true })

    const keyed = await db.createLog('keyed', { partitions: 8, keyColumn: 'key' })
    const sequences = new Map<number, number>()
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'a', 'b']) {
      const partition = keyed.partitionOf(key)
      const sequence = sequences.get(partition) ?? 0
      sequences.set(partition, sequence + 1)
      expect(await keyed.append({ key }, stamp(sequence))).toMatchObject({ partition })
      expect(await keyed.append({ key }, stamp(sequence))).toMatchObject({ isDuplicate: true })
    }
    expect(sequences.size).toBeGreaterThan(2)
    expect(() => plain.partitionOf('a')).toThrow(
      expect.objectContaining({ code: 'argument_invalid' }),
    )
  })
})

test('after a restart and after a restore it is known what was applied', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const first = await Stratalog.open({ dataDir: `${root}/data`, archive })
  await first.tier.pause()
  const made = await first.createLog('events', { partitions: 2 })
  const at = { partition: 1 }
  await made.append({ n: 0 }, { ...stamp(0), ...at })
  await made.append({ n: 1 }, { ...stamp(1), ...at })
  await first.tier.now({ to: 'object' })
  await made.append({ n: 2 }, { ...stamp(2), ...at })
  await first.close()

  const second = await Stratalog.open({ dataDir: `${root}/data`, archive })
  const again = second.log('events')
  for (const sequence of [0, 1, 2]) {
    expect(await again.append({ n: sequence }, { ...stamp(sequence), ...at })).toEqual({
      ...at,
      offset: sequence,
      count: 1,
      isDuplicate: true,
    })
  }
  await second.close()

  // The archive has the first two.
  await restoreArchive({ archive, dataDir: `${root}/restored` })
  await using restored = await Stratalog.open({ dataDir: `${root}/restored` })
  const log = restored.log('events')
  expect(await log.append({ n: 1 }, { ...stamp(1), ...at })).toMatchObject({ isDuplicate: true })
  expect(await log.append({ n: 2 }, { ...stamp(2), ...at })).toEqual({ ...at, offset: 2, count: 1 })

  // A cut between the two leaves the first.
  const toOffsets = [{ log: 'events', partition: 1, offset: 1 }]
  await restoreArchive({ archive, dataDir: `${root}/cut`, toOffsets })
  await using cut = await Stratalog.open({ dataDir: `${root}/cut` })
  const error = await expectError(
    cut.log('events').append({ n: 2 }, { ...stamp(2), ...at }),
    'producer_sequence_gap',
  )
  expect(error.details).toMatchObject({ expected: 1, given: 2, currentEpoch: 0 })
})

test('what went straight to the archive is known when only the archive had heard of it', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const options = { dataDir: `${root}/data`, archive }
  const storage = { localDisk: false, wal: false } as const
  const first = await Stratalog.open(options)
  const made = await first.createLog('events', { storage })
  await made.append({ n: 0 }, stamp(0))
  await first.tier.now()
  await first.close()
  await restoreArchive({ archive, dataDir: `${root}/restored` })
  await using db = await Stratalog.open({ dataDir: `${root}/restored`, archive })
  expect(await db.log('events').append({ n: 0 }, stamp(0))).toMatchObject({ isDuplicate: true })
})

test('a snapshot of a log in RAM has its producers, and takes none from the directory', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const first = await Stratalog.open(options)
  const made = await first.createLog('events')
  await made.append({ n: 0 }, stamp(0))
  await first.alterLog('events', { storage: { mode: 'memory' } })
  await made.append({ n: 1 }, stamp(1))
  await first.snapshot({ name: 'both' })
  await first.close()
  await using db = await Stratalog.open(options)
  for (const sequence of [0, 1])
    expect(await db.log('events').append({ n: sequence }, stamp(sequence))).toEqual({
      partition: 0,
      offset: sequence,
      count: 1,
      isDuplicate: true,
    })
})

const KILLS = process.env['CI'] === 'true' ? 40 : 8

/** One life of the child, killed at a random moment; what it told goes into `acknowledged`. */
async function live(
  root: string,
  life: number,
  acknowledged: Map<number, number>,
  killAfterMs: number,
): Promise<void> {
  let first = 0
  while (acknowledged.has(first)) first++
  const journal = `${root}/life-${life}`
  const child = spawn(
    process.execPath,
    [
      programAt('test/support/producer-child.ts'),
      `${root}/data`,
      `file://${root}/archive`,
      String(first),
      journal,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('exit', (_code, signal) => resolve(signal)),
  )
  const opened = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  await Promise.race([opened, ended])
  await delay(killAfterMs)
  child.kill('SIGKILL')
  expect(await ended, `life ${life} ended by itself: ${stderr}`).toBe('SIGKILL')
  const lines = (await readFile(journal, 'utf8')).split('\n').slice(0, -1)
  for (const line of lines) {
    const [sequence = 0, offset = 0, count = 0] = line.split(' ').map(Number)
    expect(count).toBe(producerRows(sequence).length)
    expect(acknowledged.get(sequence) ?? offset, `append ${sequence}`).toBe(offset)
    acknowledged.set(sequence, offset)
  }
}

test(
  `a producer that is killed ${KILLS} times and sends again what it does not know has each append there once`,
  { timeout: 120_000 },
  async () => {
    const root = await temporaryDirectory()
    const random = seededRandom(77)
    const acknowledged = new Map<number, number>()
    for (let life = 0; life < KILLS; life++)
      await live(root, life, acknowledged, random.uint32() % 180)
    await using db = await Stratalog.open({
      dataDir: `${root}/data`,
      archive: `file://${root}/archive`,
    })
    const rows = await db.log('events').read().toArray()
    const last = Number(rows.at(-1)?.['sequence'])
    const expected = Array.from({ length: last + 1 }, (_, sequence) =>
      producerRows(sequence),
    ).flat()
    expect(rows.map(({ sequence, n, text }) => ({ sequence, n, text }))).toEqual(expected)
    for (const [sequence, offset] of acknowledged)
      expect(rows[offset]).toMatchObject({ sequence, n: 0 })
    expect(acknowledged.size).toBeGreaterThan(KILLS)
  },
)
