import { describe, expect, test } from 'vitest'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, eager, tieringBench } from '../../support/tiering.ts'
import { WAL_DIRECTORY } from '../../support/wal.ts'

const LOGS = 20_000

/** How many calls of a kind a round makes. */
async function roundAfter(
  bench: Bench,
  ms: number,
  kinds: Readonly<Record<string, RegExp>>,
): Promise<Record<string, number>> {
  bench.clock.advance(ms)
  bench.steps.length = 0
  const moves = await bench.scheduler.run()
  const counts = Object.entries(kinds).map(([kind, pattern]): [string, number] => [
    kind,
    bench.steps.filter((step) => pattern.test(step)).length,
  ])
  return { moves: moves.length, ...Object.fromEntries(counts) }
}

async function quietLogs(bench: Bench, count: number, policy = eager()): Promise<LiveLog[]> {
  const logs = await Promise.all(
    Array.from({ length: count }, (_, number) =>
      bench.addLog({ policy, definition: { name: `quiet-${number}` } }),
    ),
  )
  await Promise.all(logs.map((log) => appendRows(log, [{ n: log.id }], 0, bench.clock.now())))
  return logs
}

const LOCAL_COMMITS = /^disk put manifest\/\d+\.edit/

describe('quiet logs', () => {
  test('of twenty thousand with a record each, a round costs a few files, PUTs and commits', async () => {
    const bench = await tieringBench()
    await quietLogs(bench, LOGS, eager({ archiveAfter: 1_000, diskTtl: 2_000 }))
    await bench.archive.manifest()
    expect(
      await roundAfter(bench, 0, {
        files: /^disk rename/,
        fsyncs: /^disk sync/,
        commits: LOCAL_COMMITS,
      }),
      // Five packs of 8 MiB; what moved is one commit, the checkpoint another.
    ).toEqual({ moves: LOGS, files: 5, fsyncs: 10, commits: 2 })
    expect(
      await roundAfter(bench, 1_000, {
        packs: /^object put packs/,
        reads: /^object (head|get)/,
        commits: /^object put manifest/,
        others: /^object (?!put|head|get)/,
        local: LOCAL_COMMITS,
      }),
    ).toEqual({ moves: LOGS, packs: 1, reads: 0, commits: 1, others: 0, local: 1 })
    expect(await roundAfter(bench, 1_000, { requests: /^object/, local: LOCAL_COMMITS })).toEqual({
      moves: LOGS,
      requests: 1,
      local: 1,
    })
    // The next round of the disk's lane finds that nothing of the files is wanted.
    expect(await roundAfter(bench, 0, { removed: /^disk remove packs/ })).toEqual({
      moves: 0,
      removed: 5,
    })
    expect(await bench.files.list(`${DATA_DIR}/packs`)).toEqual([])
  }, 300_000)

  test('that pin the oldest WAL file are flushed when the WAL keeps too much, and none before', async () => {
    const walBytesMax = 1 << 20
    const bench = await tieringBench({ walBytesMax })
    const late = eager({ memoryTtl: 1e9, diskAfter: 1e9, archiveAfter: null, diskTtl: null })
    const logs = await quietLogs(bench, 100, late)
    const busy = await bench.addLog({ policy: late })
    const keptBytes = (): number => bench.wal.appendedLsn - bench.disk.manifest.state.walLsn
    const walFiles = (): number => bench.walFiles.list(WAL_DIRECTORY).length
    const onDisk = (): number => logs.filter((log) => log.partition(0).segments.length > 0).length
    let filesMax = 0
    let keptMax = 0
    for (let written = 0; written < 8 * walBytesMax; written += 64 * 1024) {
      if (keptBytes() <= walBytesMax && written < walBytesMax / 2) expect(onDisk()).toBe(0)
      await appendRows(busy, [{ text: 'x'.repeat(64 * 1024) }])
      await bench.scheduler.run()
      filesMax = Math.max(filesMax, walFiles())
      keptMax = Math.max(keptMax, keptBytes())
    }
    expect(onDisk()).toBe(logs.length)
    expect(keptMax).toBeLessThan(walBytesMax + 128 * 1024)
    // Files of at most a quarter of it, and those that are kept for the next ones.
    expect(filesMax).toBeLessThanOrEqual(10)
    expect(filesMax).toBeGreaterThan(3)
    // The quiet ones went together: few files, few commits.
    expect(await bench.files.list(`${DATA_DIR}/packs`)).toHaveLength(1)
  })
})
