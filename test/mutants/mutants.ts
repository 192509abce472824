/**
 * The classic bugs of a store, each planted into the shipped source, and what catches it. A harness is worth what it
 * catches: `test/integration/mutants.test.ts` runs each of them and fails for one that survives.
 */

export interface Mutant {
  readonly name: string
  /** What a user would lose, in a sentence. */
  readonly harm: string
  /** Below `src`. */
  readonly file: string
  /** A text that is there once. */
  readonly find: string
  readonly replace: string
  readonly killedBy: Killer
}

/** A seed of the simulator; or a file of tests, one of which has to fail. */
export type Killer =
  | { readonly harness: 'simulate'; readonly seed: number }
  | { readonly harness: 'test'; readonly file: string; readonly name?: string }

const WAL = 'test/unit/log/wal.test.ts'
const WAL_CRASH = 'test/unit/log/wal-crash.test.ts'
const RECOVERY = 'test/unit/log/recovery.test.ts'
const WAL_SCAN = 'test/unit/log/wal-scan.test.ts'
const MOVES = 'test/unit/tiering/moves.test.ts'
const UPLOAD = 'test/unit/tiering/upload.test.ts'
const PACKS = 'test/unit/tiering/packs.test.ts'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'ack-before-sync',
    harm: 'An append is acknowledged before its bytes are durable.',
    file: 'log/wal-writer.ts',
    find: '    this.#sync()\n    this.#assertHolder()\n    this.#durableLsn = written',
    replace: '    this.#assertHolder()\n    this.#durableLsn = written',
    killedBy: { harness: 'simulate', seed: 1 },
  },
  {
    name: 'short-write-taken-for-whole',
    harm: 'A disk that takes fewer bytes than it was given loses the rest.',
    file: 'storage/write-fully.ts',
    find: '    written += count',
    replace: '    written = length',
    killedBy: { harness: 'test', file: WAL },
  },
  {
    name: 'no-directory-sync',
    harm: 'A new WAL file is written to before its name is durable.',
    file: 'log/wal-files.ts',
    find: '      fileSystem.rename(temporary, path)\n      syncing(() => fileSystem.syncDirectory(directory))',
    replace: '      fileSystem.rename(temporary, path)',
    killedBy: { harness: 'test', file: WAL_CRASH },
  },
  {
    name: 'sync-tried-again',
    harm: 'After a failed sync the next one succeeds, and the lost bytes are acknowledged.',
    file: 'log/wal-writer.ts',
    find: '    this.#sync()\n    this.#assertHolder()\n    this.#durableLsn = written',
    replace: '    try { this.#sync() } catch { this.#sync() }\n    this.#durableLsn = written',
    killedBy: { harness: 'test', file: WAL },
  },
  {
    name: 'header-not-checked',
    harm: 'The length of a damaged frame is believed.',
    file: 'format/wal-frame.ts',
    find: '  if (checksumOf(bytes, position, salt) !== headerChecksum) return null\n',
    replace: '',
    killedBy: { harness: 'test', file: WAL_SCAN },
  },
  {
    name: 'payload-not-checked',
    harm: 'Bits that flipped in a record are read as its value.',
    file: 'log/wal-file-reader.ts',
    find: '    if (!isPayloadIntact(frame, payload))\n',
    replace: '    if (frame.lsn < 0)\n',
    killedBy: { harness: 'test', file: WAL_SCAN },
  },
  {
    name: 'damage-taken-for-a-torn-tail',
    harm: 'Records that were acknowledged are cut off where one before them is damaged.',
    file: 'log/wal-scan.ts',
    find: '    if (later.durableLsn <= progress.lsn) continue\n',
    replace: '    if (later.durableLsn <= Infinity) continue\n',
    killedBy: { harness: 'test', file: WAL_SCAN },
  },
  {
    name: 'torn-tail-taken-for-damage',
    harm: 'After a crash a log is refused for an append that nobody was told of.',
    file: 'log/wal-scan.ts',
    find: '  return why === null ? null : worse(damage, why)',
    replace: "  return worse(damage, why ?? 'in doubt')",
    killedBy: { harness: 'test', file: WAL_SCAN },
  },
  {
    name: 'damaged-frame-skipped-silently',
    harm: 'Records that were acknowledged are missing, and what is appended next takes their offsets.',
    file: 'log/recovery.ts',
    find: '    this.#lose(log, partition, frame, damaged)\n    return true\n',
    replace: '    partition.continueAt(frame.baseOffset + frame.recordCount)\n    return true\n',
    killedBy: { harness: 'test', file: RECOVERY },
  },
  {
    name: 'damaged-frame-let-go',
    harm: 'The WAL forgets a damaged frame, and with it that its log has lost records.',
    file: 'tiering/checkpoint.ts',
    find: 'firstUnflushedLsn, lost?.lsn ?? Infinity)',
    replace: 'firstUnflushedLsn, lost === null ? Infinity : Infinity)',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'wal-let-go-before-the-checkpoint',
    harm: 'The WAL forgets frames that no manifest has yet.',
    file: 'tiering/checkpoint.ts',
    find: '  const state = await disk.manifest.commit((current) => checkpointEdits(context, current))',
    replace:
      '  wal.release(wal.durableLsn)\n  const state = await disk.manifest.commit((current) => checkpointEdits(context, current))',
    killedBy: { harness: 'simulate', seed: 2 },
  },
  {
    name: 'segment-without-sync',
    harm: 'RAM lets go of records whose segment was never made durable.',
    file: 'tiering/flush.ts',
    find: '    await file.sync()\n',
    replace: '',
    killedBy: { harness: 'simulate', seed: 1 },
  },
  {
    name: 'upload-not-read-back',
    harm: 'The disk lets go of a segment that the store never got whole.',
    file: 'tiering/archive-writer.ts',
    find: '    await this.verify(key, bytes.length, sha256)\n',
    replace: '',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'put-taken-at-its-word',
    harm: 'A store that says that it holds something else, or nothing, is believed to hold what was put.',
    file: 'tiering/archive-writer.ts',
    find: '    if (isProvenLater && stored === sha256) return\n',
    replace: '    if (isProvenLater) return\n',
    killedBy: { harness: 'test', file: UPLOAD },
  },
  {
    name: 'proof-put-off-for-good',
    harm: 'RAM lets go of a segment that nobody ever read back.',
    file: 'tiering/archive-writer.ts',
    find: '    if (isProvenLater && stored === sha256) return\n',
    replace: '    return\n',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'disk-copy-dropped-on-belief',
    harm: 'The last copy of a segment goes because there once was another.',
    file: 'tiering/evict.ts',
    find: '  for (const segment of segments) await proveObjectCopy(context, disk, segment)\n',
    replace: '',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'file-removed-before-the-manifest-says-so',
    harm: 'The manifest names a file that is gone.',
    file: 'tiering/evict.ts',
    find: '  await commitLocal(context, (state) => {',
    replace:
      '  for (const { disk: copy } of segments) if (copy !== null) await disk.fileSystem.remove(`${disk.dataDir}/${copy.object}`)\n  await commitLocal(context, (state) => {',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'pack-removed-while-it-is-named',
    harm: 'The segments of other logs go with the first of a file that many share.',
    file: 'tiering/loose-packs.ts',
    find: '        empty.delete(path)\n',
    replace: '',
    killedBy: { harness: 'test', file: PACKS },
  },
  {
    name: 'pack-collected-while-it-is-named',
    harm: 'The archive loses the segments of other logs with the first of an object that many share.',
    file: 'tiering/collect.ts',
    find: 'isShared: staying.has(key)',
    replace: 'isShared: false',
    killedBy: { harness: 'test', file: PACKS },
  },
  {
    name: 'objects-removed-before-the-manifest-says-so',
    harm: 'The archive names objects of segments that became one, and they are gone.',
    file: 'tiering/compact.ts',
    find: '    const state = await archive.commitReplaced(',
    replace:
      '    for (const { object } of segments) await archive.store.remove(object!.object)\n    const state = await archive.commitReplaced(',
    killedBy: { harness: 'simulate', seed: 35 },
  },
  {
    name: 'collected-while-a-snapshot-names-it',
    harm: 'A snapshot loses what was compacted or deleted since it was made.',
    file: 'tiering/collect.ts',
    find: '        if (isNamed || isShared(',
    replace: '        if (isShared(',
    killedBy: { harness: 'simulate', seed: 18 },
  },
  {
    name: 'own-put-taken-for-a-rival',
    harm: 'A writer whose own retry finds its first put there believes itself fenced.',
    file: 'storage/retrying-object-store.ts',
    find: '        if (!(await this.#isOwnPut(key, bytes, own, isAmbiguous))) throw error',
    replace: '        throw error',
    killedBy: { harness: 'test', file: 'test/unit/storage/retrying-object-store.test.ts' },
  },
  {
    name: 'rival-not-noticed',
    harm: 'Two writers go on, and each overwrites what the other believes.',
    file: 'log/manifest-store.ts',
    find: "    if (found.commit.writerId !== writerId) return { kind: 'rival', commit: found.commit }\n",
    replace: '',
    killedBy: { harness: 'test', file: 'test/unit/log/manifest-store.test.ts' },
  },
  {
    name: 'read-before-durable',
    harm: 'A reader sees a record that a crash then takes back.',
    file: 'log/partition.ts',
    find: "    if (this.#ack === 'memory') return this.#nextOffset\n",
    replace: '    if (this.#ack.length > 0) return this.#nextOffset\n',
    killedBy: { harness: 'test', file: 'test/unit/log/partition.test.ts' },
  },
  {
    name: 'memory-let-go-before-the-flush',
    harm: 'RAM drops the only copy of a record.',
    file: 'log/partition.ts',
    find: 'dropBelow(Math.min(to, this.flushedEnd))',
    replace: 'dropBelow(to)',
    killedBy: { harness: 'test', file: 'test/unit/log/partition.test.ts' },
  },
  {
    name: 'frame-applied-twice',
    harm: 'Recovery gives records twice that a segment has already.',
    file: 'log/recovery.ts',
    find: '    if (nextPlace(log, frame) === null) return\n',
    replace: '    nextPlace(log, frame)\n',
    killedBy: { harness: 'test', file: 'test/unit/log/recovery.test.ts' },
  },
  {
    name: 'frame-of-a-turn-acknowledged-at-its-start',
    harm: 'A record is acknowledged when what lies before its frame is durable.',
    file: 'log/wal.ts',
    find: '    return this.#appendedLsn + 1\n',
    replace: '    return this.#appendedLsn\n',
    killedBy: { harness: 'test', file: 'test/unit/log/turn-rows.test.ts' },
  },
  {
    name: 'flush-of-what-is-not-durable',
    harm: 'A segment holds records that a crash takes out of the WAL, whose offsets then go to others.',
    file: 'tiering/flush.ts',
    find: '  if (log.usesWal) await context.wal?.flush()\n  const moves',
    replace: '  const moves',
    killedBy: { harness: 'test', file: MOVES },
  },
  {
    name: 'flush-without-a-wal-forgotten',
    harm: 'A log without a WAL loses more in a crash than its recovery point says.',
    file: 'tiering/policy.ts',
    find: '  return oldest !== undefined && dueAt(oldest.appendTimeMin, after, now) <= now',
    replace:
      '  return policy.wal && oldest !== undefined && dueAt(oldest.appendTimeMin, after, now) <= now',
    killedBy: { harness: 'simulate', seed: 177 },
  },
  {
    name: 'own-commit-taken-for-a-rival',
    harm: 'A writer whose own commit was answered with an error believes itself fenced.',
    file: 'log/manifest-store.ts',
    find: '    if (found.commit.writerId !== writerId) return',
    replace: '    if (found.commit.number > 0) return',
    killedBy: { harness: 'simulate', seed: 17 },
  },
  {
    name: 'taken-name-not-synced',
    harm: 'A commit is believed whose name was seen and is gone with the next power cut.',
    file: 'log/manifest-files.ts',
    find: '        await fileSystem.syncDirectory(place)\n        return false',
    replace: '        return false',
    killedBy: { harness: 'test', file: 'test/unit/log/manifest-durability.test.ts' },
  },
  {
    name: 'wal-names-not-synced-at-opening',
    harm: 'What a WAL file replaces goes before the name of that file is durable.',
    file: 'log/wal-files.ts',
    find: '    syncing(() => fileSystem.syncDirectory(directory))\n    for (const name',
    replace: '    for (const name',
    killedBy: { harness: 'test', file: WAL_SCAN },
  },
  {
    name: 'column-not-verified',
    harm: 'A flipped bit in a column of a segment is read as other values.',
    file: 'format/segment-reader.ts',
    find: '  if (crc32c(bytes) !== range.checksum)',
    replace: '  if (bytes.length < 0)',
    killedBy: { harness: 'test', file: 'test/unit/format/segment.test.ts' },
  },
  {
    name: 'kept-part-not-verified',
    harm: 'What the disk made of bytes from the archive fails every read of them.',
    file: 'storage/part-cache.ts',
    find: 'part.isSound(read[index] ?? bytes)',
    replace: 'index < parts.length && part.end > 0',
    killedBy: { harness: 'test', file: 'test/unit/storage/part-cache.test.ts' },
  },
  {
    name: 'repaired-from-anything',
    harm: 'A damaged file is replaced by other bytes that are damaged too.',
    file: 'tiering/recall.ts',
    find: '  if (bytes.length === segment.length && (await sha256Hex(bytes)) === segment.sha256) return bytes',
    replace: '  if (bytes.length > 0) return bytes',
    killedBy: { harness: 'test', file: 'test/unit/tiering/scrubber.test.ts' },
  },
  {
    name: 'damage-not-looked-at-twice',
    harm: 'A body that was cut off on its way is taken for a damaged object.',
    file: 'tiering/scrubber.ts',
    find: "    if (damages.length > 0) damages = await lookAt(ports, copy, 'bytes')\n",
    replace: '',
    killedBy: { harness: 'test', file: 'test/unit/tiering/scrubber.test.ts' },
  },
  {
    name: 'detached-on-belief',
    harm: 'A directory forgets a log whose objects are gone.',
    file: 'tiering/detach.ts',
    find: '    await archive.verify(object, length, sha256)\n',
    replace: '    await Promise.resolve(length)\n',
    killedBy: { harness: 'test', file: 'test/unit/tiering/detach.test.ts' },
  },
  {
    name: 'batch-half-in-the-wal',
    harm: 'What is only in RAM passes for durable, as recovery brought back what it shares a batch with.',
    file: 'log/recovery.ts',
    find: '        else if (!policy.wal) partition.sealOpenBatch()\n',
    replace: '',
    killedBy: {
      harness: 'test',
      file: 'test/integration/alter-log.test.ts',
      name: 'and so is one that was appended behind what recovery brought back from the WAL',
    },
  },
  {
    name: 'taken-over-without-producers',
    harm: 'A segment is taken over that does not tell who appended, and an append that comes again is applied twice.',
    file: 'engine/adopt-segments.ts',
    find: '    if (facts.producers === undefined) continue\n',
    replace: '    facts.producers ??= producers as never\n',
    killedBy: { harness: 'test', file: 'test/integration/adopt-segments.test.ts' },
  },
  {
    name: 'files-before-the-deletion',
    harm: 'A crash in a deletion leaves a log that is there and has lost its records on disk.',
    file: 'tiering/delete-log.ts',
    find: '    await settleAppends(context, log)\n',
    replace: '    await settleAppends(context, log)\n    dropFiles(context, disk, log)\n',
    killedBy: { harness: 'simulate', seed: 22 },
  },
  {
    name: 'replay-past-its-moment',
    harm: 'A replay up to a moment gives records of that moment too.',
    file: 'replay/replay.ts',
    find: '      since,\n      until,\n      signal,\n      readAhead: READ_AHEAD,',
    replace:
      '      since,\n      until: until === undefined ? until : until + 1,\n      signal,\n      readAhead: READ_AHEAD,',
    killedBy: { harness: 'simulate', seed: 4 },
  },
  {
    name: 'replay-without-its-last-batch',
    harm: 'A replay leaves out what it reads last of each partition.',
    file: 'replay/replay.ts',
    find: '      if (taken !== null) await this.#give(cursor, taken)\n      if (await this.#read(advancing)) queue.push(cursor)',
    replace:
      '      const isMore = await this.#read(advancing)\n      if (taken !== null && isMore) await this.#give(cursor, taken)\n      if (isMore) queue.push(cursor)',
    killedBy: { harness: 'simulate', seed: 2 },
  },
  {
    name: 'drill-against-anybody',
    harm: 'A drill holds an archive against another engine, whose logs have the same numbers.',
    file: 'replay/drill.ts',
    find: '  return engineId !== archive.state.engineId\n',
    replace: '  return false\n',
    killedBy: { harness: 'test', file: 'test/unit/replay/drill.test.ts' },
  },
  {
    name: 'replay-counts-what-it-has',
    harm: 'A replay whose records move up goes on by their count, past records that are sound.',
    file: 'engine/engine-sink.ts',
    find: '  const mark = markAtEnd(partition)\n',
    replace: '  const mark = { heldTo: resumed.offset + records - resumed.records }\n',
    killedBy: { harness: 'test', file: 'test/integration/replay-resume.test.ts' },
  },
  {
    name: 'superseded-behind-a-snapshot',
    harm: 'A snapshot of a log that keeps the latest loses a key that was written again since.',
    file: 'log/superseded-records.ts',
    find: 'if (before !== NO_OFFSET && !this.#endsBetween(before, offset))',
    replace: 'if (before !== NO_OFFSET)',
    killedBy: { harness: 'test', file: 'test/unit/log/superseded-records.test.ts' },
  },
  {
    name: 'tombstone-before-what-it-deletes',
    harm: 'A tombstone goes before the records that it deletes, which come back.',
    file: 'log/superseded-records.ts',
    find: 'if (before === NO_OFFSET && isDeleted && ',
    replace: 'if (isDeleted && ',
    killedBy: { harness: 'test', file: 'test/unit/log/superseded-records.test.ts' },
  },
  {
    name: 'snapshot-of-unapplied-rows',
    harm: 'A snapshot names offsets that no segment holds.',
    file: 'snapshot/create.ts',
    find: 'unheld(state, startOffset, endOffset)',
    replace: 'unheld(state, startOffset, startOffset)',
    killedBy: { harness: 'test', file: 'test/unit/snapshot/restore.test.ts' },
  },
  {
    name: 'replay-skips-a-gap',
    harm: 'A replay goes on behind a gap and does not say that there is one.',
    file: 'replay/report.ts',
    find: '    this.#gaps.push(gap)',
    replace: '    this.#gaps.concat(gap)',
    killedBy: { harness: 'test', file: 'test/unit/replay/replay.test.ts' },
  },
  {
    name: 'new-bytes-of-a-snapshot-unread',
    harm: 'Retention lets the last good snapshot go for one that is damaged.',
    file: 'engine/snapshots.ts',
    find: '    (await newDamageOf(archive.store, manifest.state, newest, due, sound))\n',
    replace: '    null\n',
    killedBy: { harness: 'test', file: 'test/integration/snapshot-damage.test.ts' },
  },
  {
    name: 'archived-terms-unread',
    harm: 'Records whose time is over come back with a restart.',
    file: 'engine/directory-engine.ts',
    find: '  await loadColdTerms(registry.all(), segments)\n',
    replace: '',
    killedBy: { harness: 'test', file: 'test/integration/archived-terms.test.ts' },
  },
  {
    name: 'snapshot-asked-of-the-log-alone',
    harm: 'A read as of a snapshot has nothing of what the log has let go of.',
    file: 'engine/as-of.ts',
    find: '  return { ranges, held: await heldOf(view.definition) }\n',
    replace: '  return { ranges, held: null }\n',
    killedBy: { harness: 'test', file: 'test/integration/as-of-let-go.test.ts' },
  },
  {
    name: 'shared-memory-freed-by-its-first-holder',
    harm: 'A fork in RAM reads memory that other records were given.',
    file: 'log/shared-slabs.ts',
    find: '    if (next === undefined) {\n',
    replace: '    if (index === 0) {\n',
    killedBy: { harness: 'test', file: 'test/integration/fork-memory.test.ts' },
  },
]
