/**
 * What is sound of a manifest that does not load: its newest state before the damage, for whoever says what is left.
 * Nothing may be written on the strength of it.
 */
import { type StratalogError, isStratalogError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import { type NumberedManifestFile, parsePath } from '../format/paths.ts'
import { MANIFEST_START, type ManifestPosition, loadManifest } from './manifest-chain.ts'
import type { ManifestFiles } from './manifest-files.ts'

export interface SoundPart {
  /** Number 0 where nothing is sound. */
  readonly position: ManifestPosition
  /** The file behind it that is damaged or missing; null where there is none, and the manifest loads. */
  readonly damaged: NumberedManifestFile | null
}

/** @throws what the files throw. */
export async function soundPart(files: ManifestFiles): Promise<SoundPart> {
  let damaged: NumberedManifestFile | null = null
  for (let last = Number.MAX_SAFE_INTEGER; ; last = damaged.number - 1) {
    try {
      const { position } = await loadManifest(upTo(files, last), silentLogger)
      return { position, damaged }
    } catch (error) {
      if (!isManifestError(error)) throw error
      const file = fileOf(error.details['file'])
      // A page of another format says of no base that it is the one.
      if (file === null || file.number > last) return { position: MANIFEST_START, damaged }
      damaged = file
    }
  }
}

/** The manifest as it was when `last` was its newest commit. */
function upTo(files: ManifestFiles, last: number): ManifestFiles {
  return {
    ...files,
    newest: async () => 0,
    async *list(after) {
      for await (const file of files.list(after)) if (file.number <= last) yield file
    },
  }
}

function isManifestError(error: unknown): error is StratalogError {
  if (!isStratalogError(error)) return false
  return error.code === 'manifest_corrupt' || error.code === 'format_unsupported'
}

/** The commit or base of that name; null for any other file. */
function fileOf(name: unknown): NumberedManifestFile | null {
  const parsed = parsePath(String(name))
  return parsed?.kind === 'manifest' && parsed.file.kind !== 'page' ? parsed.file : null
}
