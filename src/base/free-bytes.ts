/**
 * Gives memory back at once. Buffers that wait for the collector make it come all the more often, and each time it
 * looks at everything that is held.
 *
 * The caller is the only one who has a view of the bytes; what is part of a bigger buffer stays.
 */
export function freeBytes({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}
