/**
 * What a manifest keeps in mind of objects that nothing names: they are noted, then doomed, then removed, then
 * forgotten.
 *
 * Invariant: a key that is doomed is never named by a segment, so whoever dooms may remove at any time after, however
 * late, and however often. A key that is only noted may be named, which takes it out.
 */
import type { ManifestEdit, ManifestState, UnnamedObject } from './manifest.ts'

export type UnnamedObjects = ReadonlyMap<string, UnnamedObject>

type UnnamedEdit = Extract<
  ManifestEdit,
  { readonly kind: 'objects-unnamed' | 'objects-doomed' | 'objects-forgotten' }
>

/** After the edit; a text is why it does not fit. */
export function applyUnnamed(unnamed: UnnamedObjects, edit: UnnamedEdit): UnnamedObjects | string {
  const after = new Map(unnamed)
  for (const key of edit.objects) {
    const known = after.get(key)
    if (edit.kind === 'objects-unnamed') {
      if (known !== undefined) return `${key} is noted already`
      after.set(key, { since: edit.since, isDoomed: false })
      continue
    }
    if (known === undefined) return `${key} is not noted`
    if (edit.kind === 'objects-doomed') after.set(key, { ...known, isDoomed: true })
    else after.delete(key)
  }
  return after
}

/** After a segment was given the key; a text is why it may not be. */
export function applyNaming(unnamed: UnnamedObjects, key: string): UnnamedObjects | string {
  const known = unnamed.get(key)
  if (known === undefined) return unnamed
  if (known.isDoomed) return `${key} was left over and is doomed`
  const after = new Map(unnamed)
  after.delete(key)
  return after
}

/** The edits that make it from nothing. */
export function* unnamedEdits({ unnamed }: ManifestState): Generator<UnnamedEdit> {
  if (unnamed === undefined) return
  const bySince = Map.groupBy(unnamed, ([, { since }]) => since)
  for (const [since, entries] of bySince)
    yield { kind: 'objects-unnamed', objects: entries.map(([key]) => key), since }
  const doomed = [...unnamed].flatMap(([key, { isDoomed }]) => (isDoomed ? [key] : []))
  if (doomed.length > 0) yield { kind: 'objects-doomed', objects: doomed }
}
