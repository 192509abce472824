/**
 * Power cuts: a process writes to a disk of its own whose power goes at a random moment, again and again, while an
 * oracle on another disk keeps what it said.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '../../../src/base/random.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from '../report.ts'
import { timeLimit } from '../time-limit.ts'
import { type LifeOptions, lifeUntil } from './life.ts'
import { LoopDisk } from './loop-disk.ts'
import { KillOracle } from './oracle.ts'

const CUT_WITHIN_MS = 400
const LIVES_PER_DISK = 40

/** @throws Error where the machine has no loop devices for us, with what it said. */
export async function powerSoak(limits: SoakLimits): Promise<SoakReport> {
  const { seed, cycles, timeMs, onProgress } = limits
  const rerun = `npm run soak -- power --cycles ${cycles} --seed ${seed}`
  const counts = new SoakCounts('power', seed, rerun)
  const random = seededRandom(seed)
  const isOver = timeLimit(timeMs)
  for (let life = 0; life < cycles && !isOver();) {
    const directory = await mkdtemp(join(tmpdir(), 'stratalog-power-'))
    {
      using disk = new LoopDisk(directory)
      const oracle = new KillOracle()
      for (let lives = 0; lives < LIVES_PER_DISK && life < cycles; lives++, life++) {
        if (isOver()) break
        const options = {
          dataDir: `${disk.path}/data`,
          archive: `file://${disk.path}/archive`,
          life,
          journal: `${directory}/life-${life}`,
          appends: null,
          senders: oracle.senders.starts(life),
        }
        await liveUntilCut(disk, options, random.uint32() % CUT_WITHIN_MS, life % 4 === 3)
        counts.tried++
        const lines = await readFile(options.journal, 'utf8').catch(() => '')
        for (const line of lines.split('\n'))
          if (oracle.hear(line, life, counts)) counts.acknowledged++
        await oracle.checkDirectory(options, counts)
        onProgress(`${life + 1} of ${cycles} power cuts, ${counts.acknowledged} acknowledged`)
      }
    }
    await rm(directory, { recursive: true })
  }
  return counts.report()
}

/** The process is ended right after the power: what it does on a dead disk is another harness's question. */
async function liveUntilCut(
  disk: LoopDisk,
  options: LifeOptions,
  afterMs: number,
  isEarly: boolean,
): Promise<void> {
  await lifeUntil(options, afterMs, isEarly, () => disk.cutPower())
  disk.unmount()
  disk.mount()
}
