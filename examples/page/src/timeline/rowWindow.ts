/** Part of the rows' common coordinates that the view shows. */
interface Area {
  top: number;
  height: number;
}

/** Rows up to these distances from the view, in px, exist. More above: history is read upwards. */
const ABOVE_PX = 1_200;
const BELOW_PX = 700;
/** Rows are added as soon as less than this part of the distances is left. */
const RESERVE = 0.5;
/** Height of a row in px before any was measured. */
const FIRST_GUESS = 48;

/**
 * The range of rows that exist, with their positions. Positions are relative to the anchor, the first row in view, and never computed from the beginning: a wrong guess
 * of a height above the view changes the space above the rows, and no row moves.
 */
export class RowWindow {
  start = 0;
  end = 0;
  /** Position of the row `start`, in px below the end of the header. */
  base = 0;
  anchorTop = 0;
  private anchor: string | undefined;
  private rows: readonly { key: string }[] = [];
  private readonly heights = new Map<string, number>();
  private measured = 0;

  /** Takes other rows. Returns whether they differ; then `extend` must follow. */
  setRows(rows: readonly { key: string }[]): boolean {
    if (rows === this.rows) return false;
    const places = new Map<string, number>();
    for (let index = this.start, top = this.base; index < this.end; index++) {
      places.set(this.rows[index]!.key, top);
      top += this.height(index);
    }
    const known = this.anchor;
    const isKept = known !== undefined && places.has(known);
    this.rows = rows;
    // The anchor, or the nearest later row that is still there.
    const from = isKept ? places.get(known)! : this.base;
    let index = rows.findIndex(({ key }) => (places.get(key) ?? -Infinity) >= from);
    if (index < 0) index = rows.findIndex(({ key }) => places.has(key));
    if (index >= 0) {
      this.start = index;
      this.base = places.get(rows[index]!.key)!;
    } else {
      this.start = Math.max(0, rows.length - 1);
      this.base = this.heightBefore(this.start);
    }
    this.anchor = rows[this.start]?.key;
    this.anchorTop = this.base;
    this.end = Math.min(rows.length, this.start + 1);
    return true;
  }

  /** Makes the rows around one exist, wherever the view was before. */
  moveTo(index: number, height: number): void {
    this.start = index;
    this.end = Math.min(this.rows.length, index + 1);
    this.base = this.heightBefore(index);
    this.extend({ top: this.base, height });
    // The row may be shown at the end of the view, too.
    for (let above = 0; this.start > 0 && above < height; above += this.height(this.start)) this.base -= this.height(--this.start);
    this.anchor = this.rows[index]?.key;
    this.anchorTop = this.top(index);
  }

  /** Whether rows are missing in or near the area. */
  isShort({ top, height }: Area): boolean {
    const bottom = this.top(this.end);
    return (this.start > 0 && this.base > top - ABOVE_PX * RESERVE) || (this.end < this.rows.length && bottom < top + height + BELOW_PX * RESERVE);
  }

  /** Chooses the rows that exist for an area. The anchor stays if it is one of them: the height of a new row is still a guess. */
  extend(area: Area): void {
    const [first, place] = this.find(area.top);
    this.start = first;
    this.base = place;
    while (this.start > 0 && this.base > area.top - ABOVE_PX) this.base -= this.height(--this.start);
    this.end = first;
    for (let top = place; this.end < this.rows.length && top < area.top + area.height + BELOW_PX; this.end++) top += this.height(this.end);
    if (this.anchor !== undefined && this.indexOf(this.anchor) >= 0) return;
    this.anchor = this.rows[first]?.key;
    this.anchorTop = place;
  }

  /** Remembers the row at the top of the area as the one that must not move. */
  keep(area: Area): void {
    const [index, top] = this.find(area.top);
    const inside = Math.min(Math.max(index, this.start), Math.max(this.start, this.end - 1));
    this.anchor = this.rows[inside]?.key;
    this.anchorTop = inside === index ? top : this.top(inside);
  }

  /** Reads the heights of the rows that exist, without moving the anchor. */
  measure(elements: HTMLCollection): void {
    for (let index = this.start; index < this.end; index++) {
      const height = elements[index - this.start]?.getBoundingClientRect().height;
      if (height === undefined) continue;
      const { key } = this.rows[index]!;
      this.measured += height - (this.heights.get(key) ?? 0);
      this.heights.set(key, height);
    }
    const anchor = this.anchor === undefined ? -1 : this.indexOf(this.anchor);
    if (anchor < 0) return;
    this.base = this.anchorTop;
    for (let index = this.start; index < anchor; index++) this.base -= this.height(index);
  }

  /** Makes room above the first row if there is too little, or ends it at the beginning. Returns by how much all rows moved. */
  rebase(): number {
    if (this.start > 0 && this.base >= ABOVE_PX) return 0;
    const wanted = this.heightBefore(this.start);
    const shift = this.start === 0 || wanted > this.base ? wanted - this.base : 0;
    this.base += shift;
    this.anchorTop += shift;
    return shift;
  }

  /** Forgets heights, which another width of the list made wrong. */
  forget(): void {
    this.heights.clear();
    this.measured = 0;
  }

  /** Index of a row that exists; -1 if it does not. */
  indexOf(key: string): number {
    for (let index = this.start; index < this.end; index++) if (this.rows[index]!.key === key) return index;
    return -1;
  }

  restHeight(): number {
    let sum = 0;
    for (let index = this.end; index < this.rows.length; index++) sum += this.height(index);
    return sum;
  }

  private heightBefore(index: number): number {
    let sum = 0;
    for (let before = 0; before < index; before++) sum += this.height(before);
    return sum;
  }

  private height(index: number): number {
    return this.heights.get(this.rows[index]!.key) ?? (this.heights.size > 0 ? Math.round(this.measured / this.heights.size) : FIRST_GUESS);
  }

  private top(index: number): number {
    let top = this.base;
    for (let row = this.start; row < index; row++) top += this.height(row);
    return top;
  }

  /** Row at a position, with its own position. */
  private find(at: number): [number, number] {
    let index = this.start;
    let top = this.base;
    while (index > 0 && top > at) top -= this.height(--index);
    while (index < this.rows.length - 1 && top + this.height(index) <= at) top += this.height(index++);
    return [index, top];
  }
}
