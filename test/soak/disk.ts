/**
 * A process whose disk fails while it appends: syncs and writes that fail through strace, and a disk of its own that
 * fills up and has room again. What was acknowledged is there at the end, what was refused for certain is not, and a
 * WAL thread whose sync failed never syncs again.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, execPath, stderr } from 'node:process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/base/clock.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { Stratalog } from '../../src/index.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

const CHILD = fileURLToPath(new URL('../support/disk-child.ts', import.meta.url))
const APPENDS = 120
const HANGS_AFTER_MS = 100_000
const LOOK_EACH_MS = 20
/** What the engine needs at all, and a few files of its WAL. */
const DISK_BYTES = 48 * 1024 * 1024

/** What the child told of its appends, and said at its end. */
export interface DiskLife {
  readonly states: readonly string[]
  /** What its log in RAM held. */
  readonly held: readonly number[]
  /** By log and outcome, the numbers of appends. */
  readonly told: ReadonlyMap<string, readonly number[]>
}

export async function diskSoak(limits: SoakLimits): Promise<SoakReport> {
  const { seed, cycles, timeMs, onProgress } = limits
  const counts = new SoakCounts(
    'disk',
    seed,
    `npm run soak -- disk --cycles ${cycles} --seed ${seed}`,
  )
  const random = seededRandom(seed)
  const isOver = timeLimit(timeMs)
  for (let cycle = 0; cycle < cycles && !isOver(); cycle++) {
    const root = await mkdtemp(join(tmpdir(), 'stratalog-disk-'))
    try {
      await round(root, cycle, random, counts)
    } catch (error) {
      counts.violation('hung', 'I12', String(error))
    }
    counts.tried++
    if (!counts.hasViolations) await rm(root, { recursive: true, force: true })
    onProgress(`${cycle + 1} of ${cycles} rounds, ${counts.acknowledged} acknowledged`)
  }
  return counts.report()
}

async function round(
  root: string,
  cycle: number,
  random: Random,
  counts: SoakCounts,
): Promise<void> {
  const first = 20 + (random.uint32() % 60)
  switch (cycle % 4) {
    case 0:
      return settle(await traced(root, `fdatasync:error=EIO:when=${first}`), root, counts)
    case 1:
      return settle(await traced(root, `fdatasync:error=EIO:when=${first}+`), root, counts)
    case 2:
      return settle(await traced(root, `pwrite64:error=EIO:when=${first + 20}`), root, counts)
    default:
      return filled(root, random, counts)
  }
}

async function settle(life: DiskLife, root: string, counts: SoakCounts): Promise<void> {
  if (syncsAgain(`${root}/trace`))
    counts.violation('wrong', 'I6', 'a thread synced after a sync of it had failed')
  await check(life, `${root}/data`, counts)
}

/** Runs the child under strace, which makes system calls of each of its threads fail. */
export async function traced(root: string, fault: string): Promise<DiskLife> {
  const calls = ['-e', 'trace=fdatasync,fsync,pwrite64', '-e', `inject=${fault}`]
  const strace = ['-f', '-qq', '-o', `${root}/trace`, ...calls]
  return await live(['strace', ...strace, execPath, CHILD, `${root}/data`], root, async () => {})
}

/** Runs the child on a small disk that has no room for a while, some times. */
async function filled(root: string, random: Random, counts: SoakCounts): Promise<void> {
  const disk = `${root}/disk`
  mkdirSync(disk)
  const mount = ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]
  if (spawnSync('mount', mount).status !== 0) {
    stderr.write('No tmpfs can be mounted here: run as root to have a disk filled.\n')
    return
  }
  try {
    const life = await live([execPath, CHILD, `${disk}/data`], root, async (child, lines) => {
      for (let times = 1 + (random.uint32() % 3); times > 0; times--) {
        const goal = lines().length + (random.uint32() % 60)
        await until(() => lines().length > goal || child.exitCode !== null)
        const { bavail, bsize } = statfsSync(disk)
        writeFileSync(`${disk}/ballast`, Buffer.alloc(bavail * bsize))
        const refusals = (): number => lines().filter((line) => !line.startsWith('ack')).length
        const before = refusals()
        await until(() => refusals() > before || child.exitCode !== null)
        rmSync(`${disk}/ballast`)
      }
    })
    await check(life, `${disk}/data`, counts)
  } finally {
    spawnSync('umount', ['-l', disk])
  }
}

/** Starts the child, does `beside` with what it has told so far, and waits for its end. */
async function live(
  [command = '', ...start]: readonly string[],
  root: string,
  beside: (child: ChildProcess, lines: () => readonly string[]) => Promise<void>,
): Promise<DiskLife> {
  const journal = `${root}/journal`
  const child = spawn(command, [...start, journal, String(APPENDS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A cache of compiled code would add calls that are none of ours.
    env: {
      ...env,
      UV_THREADPOOL_SIZE: '1',
      UV_USE_IO_URING: '0',
      NODE_DISABLE_COMPILE_CACHE: '1',
    },
  })
  const timer = systemClock.setTimer(HANGS_AFTER_MS, () => child.kill('SIGKILL'))
  try {
    await Promise.race([
      once(child, 'spawn'),
      once(child, 'error').then(([error]) => reject(error)),
    ])
    const output = text(child.stdout)
    const exit = once(child, 'exit')
    await beside(child, () => linesOf(journal))
    const [code] = (await exit) as [number | null]
    if (code !== 0) throw new Error(`the process ended with ${code}`)
    const { states, held } = JSON.parse(await output) as Pick<DiskLife, 'states' | 'held'>
    return { states, held, told: byOutcome(linesOf(journal)) }
  } finally {
    timer.cancel()
  }
}

function reject(error: unknown): never {
  throw new Error('The child could not be started; this needs strace: apt-get install strace.', {
    cause: error,
  })
}

function linesOf(journal: string): readonly string[] {
  try {
    return readFileSync(journal, 'utf8').trim().split('\n')
  } catch {
    return []
  }
}

function byOutcome(lines: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const told = new Map<string, number[]>()
  for (const line of lines) {
    const [outcome = '', log = '', n = ''] = line.split(' ')
    told.set(`${log} ${outcome}`, [...(told.get(`${log} ${outcome}`) ?? []), Number(n)])
  }
  return told
}

async function check(life: DiskLife, dataDir: string, counts: SoakCounts): Promise<void> {
  const { held, told } = life
  if (held.length !== APPENDS) counts.violation('lost', 'I1', 'a log in RAM noticed the disk')
  await using db = await Stratalog.open({ dataDir, logLevel: 'silent' })
  for (const name of ['orders', 'fast']) {
    const seen = (await db.log(name).read().toArray()).map((row) => Number(row['n']))
    const there = new Set(seen)
    if (there.size !== seen.length) counts.violation('wrong', 'I4', `${name} has a record twice`)
    for (const n of told.get(`${name} ack`) ?? [])
      if (!there.has(n)) counts.violation('lost', 'I1', `${name} ${n} was acknowledged`)
    for (const n of told.get(`${name} not_applied`) ?? [])
      if (there.has(n)) counts.violation('invented', 'I2', `${name} ${n} was refused for certain`)
    counts.acknowledged += told.get(`${name} ack`)?.length ?? 0
  }
}

/** Whether a thread called fdatasync after one of its calls had failed. */
function syncsAgain(trace: string): boolean {
  const failed = new Set<string>()
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    const [thread = ''] = line.split(/\s/, 1)
    if (!line.includes('fdatasync(')) continue
    if (failed.has(thread)) return true
    if (line.includes('EIO')) failed.add(thread)
  }
  return false
}

async function until(isOver: () => boolean): Promise<void> {
  const endAt = systemClock.monotonic() + HANGS_AFTER_MS
  while (!isOver()) {
    if (systemClock.monotonic() > endAt) throw new Error('the child does not go on')
    await systemClock.sleep(LOOK_EACH_MS)
  }
}
