/** The demo, small: every field that scripts rely on, both kinds of archive, and nothing left behind. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { openObjectStore } from '../../src/storage/open-object-store.ts'
import { runCli, runJson, spawnCli } from '../support/cli.ts'
import { sharedMinio } from '../support/minio-global.ts'
import type { MinioSettings } from '../support/minio.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const count = expect.any(Number) as number
const tier = { records: 9_000, bytes: count }

const PASSED = {
  records: 30_000,
  source: 'vega-datasets',
  tiers: { memory: tier, disk: tier, object: tier },
  queries: Array.from({ length: 3 }, () => ({
    sql: expect.stringContaining('FROM flights') as string,
    elapsedMs: count,
    recordsByTier: { memory: 9_000, disk: 9_000, object: 9_000 },
    isRight: true,
  })),
  recovery: { acknowledged: count, lost: 0, elapsedMs: count, hashEqual: true },
  restore: { records: 30_000, elapsedMs: count, hashEqual: true },
  requests: count,
  verdict: 'PASS',
  reasons: [],
  elapsedMs: count,
}

/** A temporary folder of its own, so that what a demo leaves there can be seen. */
function temporaryFolder(): string {
  return mkdtempSync(join(root, 'tmp-'))
}

describe('demo on a directory', () => {
  test('prints one document, passes, and leaves nothing', async () => {
    const TMPDIR = temporaryFolder()
    const { status, stdout, stderr } = await runCli(['demo', '--records', '30000', '--json'], {
      env: { TMPDIR },
    })
    expect([status, stderr]).toEqual([0, ''])
    const report = JSON.parse(stdout) as { recovery: { acknowledged: number } }
    expect(report).toMatchObject(PASSED)
    // Killed in the middle: more than the records before the last write, fewer than all.
    expect(report.recovery.acknowledged).toBeGreaterThan(27_000)
    expect(report.recovery.acknowledged).toBeLessThan(30_000)
    expect(readdirSync(TMPDIR)).toEqual([])
  })

  test('tells people what happened, quietly in a pipe', async () => {
    const { status, stdout, stderr } = await runCli(['demo', '--records', '5000'])
    expect([status, stderr]).toEqual([0, ''])
    for (const part of [
      'recover after kill -9',
      'memory',
      'from object',
      'content hash',
      'verdict PASS',
    ]) {
      expect(stdout).toContain(part)
    }
    expect(stdout).not.toContain('\u001B')
  })

  test('--keep leaves the data and the archive for a look, in an empty directory only', async () => {
    const keep = join(root, 'kept')
    await runJson(['demo', '--records', '5000', '--keep', keep])
    const question = 'SELECT count(*) FROM flights'
    expect(await runJson(['sql', '--data-dir', join(keep, 'data'), question])).toMatchObject({
      rows: [[5_000]],
    })
    const url = pathToFileURL(join(keep, 'archive')).href
    expect(await runJson(['sql', '--archive', url, question])).toMatchObject({ rows: [[5_000]] })
    expect((await runCli(['demo', '--keep', keep])).status).toBe(4)
  })

  test('more records than the flights file has are generated, and it says so', async () => {
    const { stderr, status } = await runCli(['demo', '--records', '3000001'], {
      env: { TMPDIR: join(root, 'missing') },
    })
    // It gets no further here: there is no place to write.
    expect(status).not.toBe(0)
    expect(stderr).toContain('a generated set, seed 2001')
  })

  test('Ctrl-C ends it with status 130, its engine process with it, and nothing is left', async () => {
    const TMPDIR = temporaryFolder()
    const child = spawnCli(['demo'], { env: { TMPDIR } })
    // The engine has begun to write.
    while (
      !readdirSync(TMPDIR, { recursive: true, encoding: 'utf8' }).some((name) =>
        name.endsWith('.wal'),
      )
    ) {
      await systemClock.sleep(20)
    }
    child.kill('SIGINT')
    const [status] = (await once(child, 'close')) as [number]
    expect(status).toBe(130)
    expect(readdirSync(TMPDIR)).toEqual([])
  })
})

describe('demo on S3', () => {
  let minio: MinioSettings
  beforeAll(async () => {
    minio = await sharedMinio()
  }, 15 * 60_000)

  test('makes its bucket, passes, and takes its objects away', async () => {
    const bucket = `demo-${randomBytes(6).toString('hex')}`
    const { endpoint, region, accessKeyId, secretAccessKey } = minio
    const env = {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: region,
    }
    const args = ['--archive', `s3://${bucket}`, '--s3-endpoint', endpoint]
    const report = await runJson<{ archive: string; requests: number }>(
      ['demo', '--records', '30000', ...args],
      { env },
    )
    expect(report).toMatchObject(PASSED)
    expect(report.archive).toMatch(new RegExp(`^s3://${bucket}/demo-[0-9a-f]+$`))
    expect(report.requests).toBeGreaterThan(10)
    const store = await openObjectStore(`s3://${bucket}`, {
      s3: { endpoint, region, credentials: { accessKeyId, secretAccessKey } },
      fileSystem: new NodeFileSystem(),
      clock: systemClock,
      random: systemRandom,
      metrics: noMetrics,
      logger: silentLogger,
    })
    for await (const { key } of store.list('')) expect.fail(`${key} was left`)
    await store.close()
  })
})
