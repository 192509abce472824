/**
 * The small files of a data directory and an archive, as version 1 wrote them: this program reads them, and writes the
 * same bytes. Snapshots lie in the manifest, whose golden files hold every edit.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { decodeIdentity, encodeIdentity } from '../../src/format/identity.ts'
import { applyEdits, emptyManifestState } from '../../src/format/manifest-builder.ts'
import {
  GENESIS_HASH,
  decodeBase,
  decodeCommit,
  encodeBase,
  encodeCommit,
} from '../../src/format/manifest-codec.ts'
import type { ManifestEdit } from '../../src/format/manifest.ts'
import { openArchive } from '../../src/log/archive-view.ts'
import { decodeTokens, encodeTokens } from '../../src/server/tokens.ts'
import { planRestore } from '../../src/snapshot/plan-restore.ts'
import { RestoreDirectory } from '../../src/snapshot/restore-directory.ts'
import { lockDirectory, readLockHolder } from '../../src/storage/directory-lock.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { ArchiveFixture, FIXTURE_TYPES } from '../support/archive-fixture.ts'
import { goldenPath, writer } from '../support/manifests.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** The bytes that version 1 wrote; run with UPDATE_GOLDEN=1 to write a new file, never one that is there. */
function golden(name: string, bytes: Uint8Array): Buffer {
  const path = goldenPath(name)
  if (process.env['UPDATE_GOLDEN'] === '1' && !existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return readFileSync(path)
}

test.each(['directory', 'archive'] as const)('the identity of a %s', (kind) => {
  const identity = { kind, engineId: '0123456789abcdef0123456789abcdef' }
  const written = golden(`identity-v1/${kind}.json`, encodeIdentity(identity))
  expect(decodeIdentity(written, 'x')).toEqual(identity)
  expect(Buffer.from(encodeIdentity(identity)).equals(written)).toBe(true)
})

test('a lock that is held', async () => {
  const holder = { pid: 4_242, host: 'host', since: '2026-01-31T12:00:00.000Z' }
  const path = `${await temporaryDirectory()}/lock`
  const lock = await lockDirectory(path, holder, 'f'.repeat(32), silentLogger)
  const bytes = readFileSync(path)
  await lock.release()
  const written = golden('lock-v1/lock', bytes)
  expect(bytes.equals(written)).toBe(true)
  copyFileSync(goldenPath('lock-v1/lock'), path)
  expect(readLockHolder(path)).toEqual(holder)
})

test('the tokens of a server', () => {
  const all = { createdAt: '2026-01-31T12:00:00.000Z', expiresAt: null, logs: '' }
  const tokens = [
    { id: '00112233445566aa', name: 'root', digest: 'a'.repeat(64), scopes: ['admin'], ...all },
    {
      id: '00112233445566bb',
      name: 'shop',
      digest: 'b'.repeat(64),
      scopes: ['read', 'append'],
      ...all,
      logs: 'shop.',
      expiresAt: '2026-05-01T12:00:00.000Z',
    },
  ] as const
  const bytes = Buffer.from(encodeTokens(tokens))
  const written = golden('tokens-v1/tokens.json', bytes)
  expect(decodeTokens(written.toString('utf8'))).toEqual(tokens)
  expect(bytes.equals(written)).toBe(true)
})

test('the note of a restore that is under way', async () => {
  const fixture = await ArchiveFixture.create()
  await fixture.addLog('orders', FIXTURE_TYPES)
  const plan = await planRestore(await openArchive(fixture.store), {})
  const begin = async (fileSystem: MemoryFileSystem): Promise<void> =>
    new RestoreDirectory(fileSystem, 'data').begin(plan)
  const fresh = new MemoryFileSystem()
  await fresh.makeDirectory('.')
  await begin(fresh)
  const bytes = await fresh.read('data/restoring.json')
  const written = golden('restoring-v2/restoring.json', bytes)
  expect(Buffer.from(bytes).equals(written)).toBe(true)
  // The same restore goes on with it; anything else does not.
  await begin(fresh)
  const other = new MemoryFileSystem()
  await other.makeDirectory('data')
  await other.putIfAbsent('data/restoring.json', written.subarray(1))
  await expect(begin(other)).rejects.toMatchObject({ code: 'directory_not_empty' })
})

test('a manifest that knows how far the WAL came', () => {
  const edits: readonly ManifestEdit[] = [
    { kind: 'engine-created', engineId: 'engine-1' },
    { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
    { kind: 'wal-reached', walLsn: 0 },
    { kind: 'checkpoint', walLsn: 4_096 },
    { kind: 'wal-reached', walLsn: 8_192 },
  ]
  const commit = {
    number: 1,
    previousHash: GENESIS_HASH,
    epoch: 1,
    writerId: 'first',
    time: 10_000,
    edits,
  }
  const state = applyEdits(emptyManifestState(), edits)
  const base = { number: 1, commitHash: 'c'.repeat(64), previousBase: 0, time: 10_001, state, pages: [] }
  const commitBytes = golden('manifest-v1/wal-reached.edit', encodeCommit(commit))
  expect(decodeCommit(commitBytes, 'f')).toEqual(commit)
  expect(Buffer.from(encodeCommit(commit)).equals(commitBytes)).toBe(true)
  const baseBytes = golden('manifest-v1/wal-reached.base', encodeBase(base))
  expect(decodeBase(baseBytes, 'f').bare).toMatchObject({ walLsn: 4_096, walReached: 8_192 })
  expect(Buffer.from(encodeBase(base)).equals(baseBytes)).toBe(true)
})
