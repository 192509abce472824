/**
 * The WAL on real threads, round after round. What the inline WAL cannot show: wakes that get lost, acknowledgements
 * that never come, bytes that one thread overwrites under the other. Both sides are slowed down at random, and the ring
 * is as small as it can be. In every fourth round a sync fails.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/base/clock.ts'
import { type Random, randomFraction, seededRandom } from '../../src/base/random.ts'
import { type Wal, createThreadWal } from '../../src/log/wal.ts'
import { readThreadWal, threadWalOptions, troubledThread } from '../support/thread-wal.ts'
import { appendPayload, testPayload } from '../support/wal.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

const FRAMES = 3_000
const GOOD_SYNCS_MAX = 20
const HANGS_AFTER_MS = 60_000

export async function threadsSoak(limits: SoakLimits): Promise<SoakReport> {
  const { seed, cycles, timeMs, onProgress } = limits
  const counts = new SoakCounts('threads', seed, `npm run soak -- threads --seed ${seed}`)
  const isOver = timeLimit(timeMs)
  for (let round = 0; round < cycles && !isOver(); round++) {
    await runRound(seed + round, counts)
    onProgress(`${round + 1} of ${cycles} rounds, ${counts.acknowledged} acknowledged`)
  }
  return counts.report()
}

async function runRound(seed: number, counts: SoakCounts): Promise<void> {
  const rerun = { seed, rerun: `npm run soak -- threads --cycles 1 --seed ${seed}` }
  const root = await mkdtemp(join(tmpdir(), 'stratalog-threads-'))
  const workers: Worker[] = []
  const random = seededRandom(seed)
  const goodSyncs = seed % 4 === 0 ? 1 + (random.uint32() % GOOD_SYNCS_MAX) : null
  const watchdog = Promise.withResolvers<string>()
  const timer = systemClock.setTimer(HANGS_AFTER_MS, () => watchdog.resolve('hung'))
  try {
    const spawn = troubledThread({ seed, goodSyncs }, workers)
    const wal = await createThreadWal({ ...threadWalOptions(root), spawn })
    const work = goodSyncs === null ? appendAll(wal, random, root) : appendUntilFailure(wal, root)
    const problem = await Promise.race([work, watchdog.promise])
    if (problem === 'hung') counts.violation('hung', 'I12', 'no wake came', rerun)
    else if (problem !== null) counts.violation('lost', 'I1', problem, rerun)
    counts.tried++
    counts.acknowledged += readThreadWal(root).frames.length
  } catch (error) {
    counts.violation('crashed', 'I13', String(error), rerun)
  } finally {
    timer.cancel()
    await Promise.all(workers.map((worker) => worker.terminate()))
    await rm(root, { recursive: true })
  }
}

/** What is wrong, or null. */
async function appendAll(wal: Wal, random: Random, root: string): Promise<string | null> {
  const acknowledged: number[] = []
  wal.onDurable((lsn) => acknowledged.push(lsn))
  const lengths = await appendRandomly(wal, random)
  await wal.flush()
  if (wal.durableLsn !== wal.appendedLsn || acknowledged.at(-1) !== wal.appendedLsn)
    return `${acknowledged.at(-1)} of ${wal.appendedLsn} bytes are acknowledged`
  if (acknowledged.some((lsn, index) => index > 0 && lsn <= (acknowledged[index - 1] ?? 0)))
    return 'acknowledgements come out of order'
  await wal.close()
  return differenceOf(root, lengths)
}

/** After the sync that fails nothing more is acknowledged, and all that was is there. */
async function appendUntilFailure(wal: Wal, root: string): Promise<string | null> {
  const flushes: Promise<boolean>[] = []
  const lengths: number[] = []
  while (wal.failure === null) {
    appendPayload(wal, lengths.length, testPayload(lengths.length, 64))
    lengths.push(64)
    flushes.push(
      wal.flush().then(
        () => true,
        () => false,
      ),
    )
    await setImmediate()
  }
  const isFlushed = await Promise.all(flushes)
  const count = isFlushed.indexOf(false)
  if (isFlushed.slice(count).some(Boolean)) return 'a flush succeeded after one that failed'
  if (wal.failure.code !== 'disk_failed' || wal.failure.details['errno'] !== 'EIO')
    return `it failed with ${String(wal.failure)}`
  const { durableLsn } = wal
  await wal.close()
  if (wal.durableLsn !== durableLsn) return 'it acknowledged more when it was closed'
  return differenceOf(root, lengths.slice(0, count))
}

/** How the files differ from the frames that have to be in them; more frames may follow. */
function differenceOf(root: string, lengths: readonly number[]): string | null {
  const frames = readThreadWal(root).frames.filter(({ frame }) => frame.kind === 'append')
  for (const [index, length] of lengths.entries()) {
    const found = frames[index]
    if (found === undefined) return `frame ${index} of ${lengths.length} is missing`
    if (
      found.frame.baseOffset === index &&
      Buffer.compare(testPayload(index, length), found.payload) === 0
    )
      continue
    return `frame ${index} differs`
  }
  return null
}

async function appendRandomly(wal: Wal, random: Random): Promise<number[]> {
  const lengths: number[] = []
  while (lengths.length < FRAMES) {
    const isLarge = randomFraction(random) < 0.01
    lengths.push(random.uint32() % (isLarge ? 20_000 : 400))
    const number = lengths.length - 1
    appendPayload(wal, number, testPayload(number, lengths[number] ?? 0))
    const choice = random.uint32() % 16
    if (choice === 0) await setImmediate()
    else if (choice === 1) await wal.flush()
    else if (choice < 6 && wal.backpressure !== null) await wal.backpressure
    else if (choice === 6) for (let spin = random.uint32() % 50_000; spin > 0; spin--);
  }
  return lengths
}
