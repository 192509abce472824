/**
 * What a process takes at most while an archive goes to one target, beside which it does nothing else:
 * `restore-memory-child.ts TARGET ARCHIVE DIRECTORY BUDGET` prints a `MemoryReport`, and with `make` as the target it
 * makes the archive. Its records are the same ones again and again, too many for a dictionary to hold.
 */
import { statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Stratalog, isStratalogError, restoreArchive } from '../src/index.ts'
import { makeAppendLoad } from './append-load.ts'
import { loadColumns } from './memory-load.ts'
import { RECORD_BYTES } from './records.ts'
import {
  ARCHIVE_BUDGETS,
  type MemoryArchive,
  type MemoryReport,
  type MemoryTarget,
} from './restore-memory.ts'

const BATCH_RECORDS = 1_000
const DISTINCT_RECORDS = 64_000
const PARTITIONS = 2

const [work = '', archive = '', dataDir = '', budgetText = ''] = process.argv.slice(2)
const maxMemoryBytes = Number(budgetText)

async function make(): Promise<MemoryArchive> {
  await using db = await Stratalog.open({ dataDir, archive, maxMemoryBytes: '64MB' })
  const log = await db.createLog('events', {
    partitions: PARTITIONS,
    timeColumn: 'ts',
    storage: { mode: 'hybrid', wal: false, localDisk: false },
  })
  const batches = makeAppendLoad(DISTINCT_RECORDS, BATCH_RECORDS).batches.map(loadColumns)
  const budget = Math.ceil(maxMemoryBytes / (RECORD_BYTES * BATCH_RECORDS))
  for (let index = 0; index < ARCHIVE_BUDGETS * budget; index++) {
    const batch = batches[index % batches.length]
    if (batch !== undefined) await log.append(batch, { partition: index % PARTITIONS })
    if ((index + 1) % budget === 0) await db.tier.now({ to: 'object' })
  }
  const names = await readdir(fileURLToPath(archive), { recursive: true })
  const segments = names.filter((name) => name.endsWith('.arrow'))
  const lengths = segments.map((name) => statSync(join(fileURLToPath(archive), name)).size)
  return {
    records: ARCHIVE_BUDGETS * budget * BATCH_RECORDS,
    segmentBytesMax: Math.max(...lengths),
  }
}

const targets: Readonly<Record<MemoryTarget, () => Promise<number>>> = {
  memory: async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes })
    return (await db.replayFromArchive(archive)).records
  },
  function: async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes })
    let records = 0
    await db.replayFromArchive(archive, {
      into: async (_, batch) => {
        await new Promise(setImmediate)
        records += batch.length
      },
    })
    return records
  },
  directory: async () => {
    await using db = await Stratalog.open({ dataDir, maxMemoryBytes })
    return (await db.replayFromArchive(archive)).records
  },
  restore: async () => (await restoreArchive({ archive, dataDir, eager: true })).records,
}

async function measure(target: MemoryTarget): Promise<MemoryReport> {
  const rssBytesBefore = process.memoryUsage.rss()
  let records = 0
  let failed: string | null = null
  try {
    records = await targets[target]()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    failed = error.code
  }
  const rssBytesMax = process.resourceUsage().maxRSS * 1024
  return { records, failed, rssBytesBefore, rssBytesMax }
}

const answer = work === 'make' ? await make() : await measure(work as MemoryTarget)
process.stdout.write(JSON.stringify(answer), () => process.exit(0))
