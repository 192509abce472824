/** Where the demo puts its files and objects, and how all of it goes away again. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import { silentLogger } from '../../base/logger.ts'
import { noMetrics } from '../../base/metrics.ts'
import { randomHex, systemRandom } from '../../base/random.ts'
import type { S3Options } from '../../engine/config.ts'
import { NodeFileSystem } from '../../storage/node-file-system.ts'
import {
  type OpenObjectStoreOptions,
  createBucketIfMissing,
  openObjectStore,
} from '../../storage/open-object-store.ts'

export interface DemoPlaceOptions {
  readonly archive: string | null
  readonly keep: string | null
  readonly s3: S3Options | null
  readonly clock: Clock
}

export interface DemoPlace {
  readonly dataDir: string
  /** A prefix of its own, so that nothing that was there before is touched. */
  readonly archive: string
  readonly s3: S3Options | null
  readonly isKept: boolean
  /** Takes everything away that the demo wrote, unless it is kept. Safe to call again. */
  remove(): Promise<void>
}

/** @throws StratalogError `directory_not_empty` for a `keep` that has something in it, and what an archive throws. */
export async function makeDemoPlace(options: DemoPlaceOptions): Promise<DemoPlace> {
  const { archive, keep, s3 } = options
  const root =
    keep === null ? await mkdtemp(join(tmpdir(), 'stratalog-demo-')) : await emptyDirectory(keep)
  const store: OpenObjectStoreOptions = {
    ...(s3 === null ? {} : { s3 }),
    fileSystem: new NodeFileSystem(),
    clock: options.clock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
    environment: process.env,
  }
  const base = archive ?? pathToFileURL(join(root, 'archive')).href
  const url =
    archive === null ? base : `${base.replace(/\/+$/, '')}/demo-${randomHex(systemRandom, 8)}`
  const remove = async (): Promise<void> => {
    if (keep !== null) return
    if (archive !== null) await removeArchive(url, store)
    await rm(root, { recursive: true, force: true })
  }
  try {
    await createBucketIfMissing(url, store)
  } catch (error) {
    await rm(root, { recursive: keep === null, force: true }).catch(() => {})
    throw error
  }
  return { dataDir: join(root, 'data'), archive: url, s3, isKept: keep !== null, remove }
}

async function emptyDirectory(path: string): Promise<string> {
  const directory = resolve(path)
  await mkdir(directory, { recursive: true })
  const names = await readdir(directory)
  if (names.length === 0) return directory
  throw new StratalogError(
    'directory_not_empty',
    `${directory} is not empty; --keep needs a directory of its own.`,
    {
      details: { path: directory },
    },
  )
}

async function removeArchive(url: string, options: OpenObjectStoreOptions): Promise<void> {
  const store = await openObjectStore(url, options)
  try {
    const keys: string[] = []
    for await (const { key } of store.list('')) keys.push(key)
    for (const key of keys) await store.remove(key)
  } finally {
    await store.close()
  }
  if (url.startsWith('file:')) await rm(new URL(url), { recursive: true, force: true })
}
