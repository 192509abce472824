/** Damages chosen frames of the WAL of a closed directory, as a bit that rots would. */
import { readFileSync, writeFileSync } from 'node:fs'
import { decodeIdentity } from '../../src/format/identity.ts'
import { WAL_DIRECTORY } from '../../src/format/paths.ts'
import { WAL_FRAME_HEADER_BYTES, type WalFrame, walFrameBytes } from '../../src/format/wal-frame.ts'
import { WalFileReader } from '../../src/log/wal-file-reader.ts'
import { listWalFiles } from '../../src/log/wal-scan.ts'
import type { SyncFileSystem } from '../../src/storage/file-system.ts'
import { NodeSyncFileSystem } from '../../src/storage/node-sync-file-system.ts'

export interface PlacedFrame {
  readonly file: string
  readonly position: number
  readonly frame: WalFrame
}

/** Every frame of the files in a data directory, in order; those before a checkpoint too. */
export function walFrames(dataDir: string): readonly PlacedFrame[] {
  const { engineId } = decodeIdentity(readFileSync(`${dataDir}/stratalog.json`), dataDir)
  return framesOf(new NodeSyncFileSystem(), `${dataDir}/${WAL_DIRECTORY}`, engineId)
}

/** As they are read, so of a file that was cut only those before its end. */
export function framesOf(
  fileSystem: SyncFileSystem,
  directory: string,
  engineId: string,
): readonly PlacedFrame[] {
  const frames: PlacedFrame[] = []
  const files = listWalFiles(fileSystem, directory)
  for (const [index, startLsn] of files.entries()) {
    const reader = new WalFileReader(fileSystem, directory, startLsn, engineId)
    const end = files[index + 1]
    try {
      for (let lsn = startLsn; lsn !== end;) {
        const position = reader.positionOf(lsn)
        const { frame } = reader.frameAt(position, reader.facts.capacity, null)
        if (frame === null || frame.kind === 'roll') break
        frames.push({ file: reader.path, position, frame })
        lsn += walFrameBytes(frame.payloadLength)
      }
    } finally {
      reader.close()
    }
  }
  return frames
}

/** Flips a bit in the payload of a frame. */
export function damagePayload({ file, position }: PlacedFrame): void {
  flip(file, position + WAL_FRAME_HEADER_BYTES + 1)
}

/** Flips a bit in the header of a frame. */
export function damageHeader({ file, position }: PlacedFrame): void {
  flip(file, position + 24)
}

function flip(file: string, position: number): void {
  const bytes = readFileSync(file)
  bytes[position] = (bytes[position] ?? 0) ^ 4
  writeFileSync(file, bytes)
}
