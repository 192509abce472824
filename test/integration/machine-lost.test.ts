/**
 * Three million records on a real object store: the process that writes them is killed in the middle of moving them
 * there, and goes on; then the machine is lost. What the archive has is equal by the hash of an oracle that reads the
 * records by a library of its own, after the kill and after the loss, and nothing that was acknowledged is lost.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { readFlightRows } from '../../src/cli/demo/flight-rows.ts'
import { findFlights } from '../../src/cli/demo/flights.ts'
import { Oracle } from '../../src/cli/demo/oracle.ts'
import { Stratalog, restoreArchive } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../src/storage/open-object-store.ts'
import { logHash } from '../support/log-hash.ts'
import type { FlightsChildOptions } from '../support/flights-child.ts'
import { sharedMinio } from '../support/minio-global.ts'
import type { MinioSettings } from '../support/minio.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 3_000_000
/** The kill comes in a move that began after so many were acknowledged. */
const KILLED_AFTER = 1_200_000
const CHILD = fileURLToPath(new URL('../support/flights-child.ts', import.meta.url))

let minio: MinioSettings

beforeAll(async () => {
  minio = await sharedMinio()
}, 15 * 60_000)

function start(options: FlightsChildOptions): ChildProcess {
  const { accessKeyId, secretAccessKey } = minio
  return spawn(process.execPath, [CHILD, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    },
  })
}

/** How many were acknowledged, and archived for sure, when it ended; with `killAfter` it is killed in a move. */
async function run(
  child: ChildProcess,
  killAfter = Infinity,
): Promise<{ readonly acked: number; readonly moved: number; readonly isMoving: boolean }> {
  const exited = once(child, 'exit')
  let [acked, moved, isMoving] = [0, 0, false]
  if (child.stdout === null) throw new Error('it is piped')
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, end] = line.split(' ')
    if (word === 'acked') acked = Math.max(acked, Number(end))
    if (word === 'moved') moved = Number(end)
    isMoving = word === 'moving' || (isMoving && word !== 'moved')
    // The first part of it is there before: an archive that has some of the records.
    if (isMoving && moved > 0 && acked > killAfter) child.kill('SIGKILL')
  }
  await exited
  return { acked, moved, isMoving }
}

test('a writer that is killed while it moves records, and then its machine, lose nothing that was archived', async () => {
  const root = await temporaryDirectory()
  const { endpoint, region, accessKeyId, secretAccessKey } = minio
  const s3 = { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
  const archive = `s3://test-${randomBytes(6).toString('hex')}/flights`
  await createBucketIfMissing(archive, {
    s3,
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  })
  const oracle = new Oracle(readFlightRows(findFlights(RECORDS), RECORDS))
  const options = { dataDir: `${root}/data`, archive, endpoint, records: RECORDS }

  const killed = await run(start(options), KILLED_AFTER)
  expect(killed.isMoving).toBe(true)
  expect(killed.acked).toBeLessThan(RECORDS)

  // The bucket alone has what it was said to have, as it was written.
  const part = await restoreArchive({ archive, s3, dataDir: `${root}/part`, eager: true })
  expect(part).toMatchObject({ corrupt: [] })
  expect(part.records).toBeGreaterThanOrEqual(killed.moved)
  {
    await using restored = await Stratalog.openReadOnly({ dataDir: `${root}/part` })
    expect(await logHash(restored, 'flights')).toBe((await oracle.truthAt(part.records)).hash)
  }
  await rm(`${root}/part`, { recursive: true })

  // What was acknowledged and is not there yet is in the directory: the next process begins behind it.
  let recovered: number
  {
    await using db = await Stratalog.openReadOnly({ dataDir: options.dataDir, archive, s3 })
    recovered = db.status().logs[0]?.partitions[0]?.endOffset ?? 0
    expect(recovered).toBeGreaterThanOrEqual(killed.acked)
    expect(await logHash(db, 'flights')).toBe((await oracle.truthAt(recovered)).hash)
  }
  const ended = await run(start(options))
  expect(ended).toMatchObject({ acked: RECORDS, moved: RECORDS })
  await rm(options.dataDir, { recursive: true })

  const whole = await restoreArchive({ archive, s3, dataDir: `${root}/new`, eager: true })
  expect(whole).toMatchObject({ records: RECORDS, verified: true, missing: [], corrupt: [] })
  await using again = await Stratalog.openReadOnly({ dataDir: `${root}/new` })
  expect(await logHash(again, 'flights')).toBe((await oracle.truthAt(RECORDS)).hash)
}, 600_000)
