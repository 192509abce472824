/**
 * What is sound of a manifest that does not load: its newest state before the damage, for whoever says what is left.
 * Nothing may be written on the strength of it.
 */
import { isStratalogError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import { type NumberedManifestFile, parsePath } from '../format/paths.ts'
import { type ManifestPosition, loadManifest } from './manifest-chain.ts'
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
      const file = fileOf(error)
      if (file === null || file.number > last) throw error
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

/** The commit or base that an error is about; null for any other error. */
function fileOf(error: unknown): NumberedManifestFile | null {
  if (!isStratalogError(error)) return null
  if (error.code !== 'manifest_corrupt' && error.code !== 'format_unsupported') return null
  const parsed = parsePath(String(error.details['file']))
  return parsed?.kind === 'manifest' && parsed.file.kind !== 'page' ? parsed.file : null
}
