"""Functions of finance code, as patterns from which finance.py makes variants: our own code, \
for training where packages hold little of it.

`<a|b>` is one of the words, the same one wherever that very bracket stands in the recipe; a line that begins with `?` may be left out;
`@x` after a parameter is its annotation or nothing; `#doc text` is a docstring or nothing.
A line that ends in a backslash goes on in the next one."""

from __future__ import annotations

RECIPES: tuple[str, ...] = (
    """
def <simple_returns|daily_returns|period_returns>(<prices|closes|values>@floats)@floats_back:
    #doc Return the relative change from each price to the next.
    <returns|changes|result> = []
    for i in range(1, len(<prices|closes|values>)):
        <returns|changes|result>.append(<prices|closes|values>[i] / <prices|closes|values>[i - 1] - 1)
    return <returns|changes|result>
""",
    """
def <log_returns|log_changes>(<prices|closes|series>@floats)@floats_back:
    #doc Return the logarithm of each price relative.
    ?if len(<prices|closes|series>) < 2:
    ?    return []
    return [math.log(b / a) for a, b in zip(<prices|closes|series>, <prices|closes|series>[1:])]
""",
    """
def <cumulative_return|total_return>(<returns|rets>@floats)@float_back:
    #doc Compound periodic returns into one.
    <growth|total|wealth> = 1.0
    for <r|value|change> in <returns|rets>:
        <growth|total|wealth> = <growth|total|wealth> * (1 + <r|value|change>)
    return <growth|total|wealth> - 1
""",
    """
def <max_drawdown|largest_drawdown|worst_drawdown>(<equity|values|curve>@floats)@float_back:
    #doc Return the largest fall from a peak, as a negative share.
    <peak|high> = <equity|values|curve>[0]
    <worst|drawdown|lowest> = 0.0
    for <value|level> in <equity|values|curve>:
        if <value|level> > <peak|high>:
            <peak|high> = <value|level>
        <worst|drawdown|lowest> = min(<worst|drawdown|lowest>, <value|level> / <peak|high> - 1)
    return <worst|drawdown|lowest>
""",
    """
def <annualised_volatility|annual_vol|realised_volatility>(<returns|rets>@floats, \
<periods|periods_per_year|freq>@int=<252|260|365|52>)@float_back:
    #doc Scale the standard deviation of returns to a year.
    ?if len(<returns|rets>) < 2:
    ?    raise ValueError("need at least two returns")
    mean = sum(<returns|rets>) / len(<returns|rets>)
    variance = sum((r - mean) ** 2 for r in <returns|rets>) / (len(<returns|rets>) - 1)
    return math.sqrt(variance * <periods|periods_per_year|freq>)
""",
    """
def <sharpe_ratio|sharpe>(<returns|rets>@floats, <risk_free|rf|risk_free_rate>@float=<0.0|0.02|0.01>, \
<periods|freq>@int=<252|12|52>)@float_back:
    #doc Return the annualised excess return per unit of risk.
    <excess|adjusted> = np.asarray(<returns|rets>) - <risk_free|rf|risk_free_rate> / <periods|freq>
    <spread|std|deviation> = <excess|adjusted>.std(ddof=1)
    if <spread|std|deviation> == 0:
        return 0.0
    return float(<excess|adjusted>.mean() / <spread|std|deviation> * np.sqrt(<periods|freq>))
""",
    """
def <sortino_ratio|sortino>(<returns|rets>@floats, <target|minimum>@float=0.0)@float_back:
    #doc Return excess return over downside deviation.
    <downside|losses|below> = [min(0.0, r - <target|minimum>) for r in <returns|rets>]
    <risk|deviation> = math.sqrt(sum(x * x for x in <downside|losses|below>) / len(<downside|losses|below>))
    ?logger.debug("downside deviation %s", <risk|deviation>)
    mean = sum(<returns|rets>) / len(<returns|rets>)
    return (mean - <target|minimum>) / <risk|deviation> if <risk|deviation> else float("inf")
""",
    """
def <historical_var|value_at_risk|var_historical>(<returns|pnl|losses>@floats, \
<level|confidence|alpha>@float=<0.95|0.99|0.975>)@float_back:
    #doc Return the loss that is not exceeded at the given confidence.
    ?if not 0 < <level|confidence|alpha> < 1:
    ?    raise ValueError(f"confidence must be between 0 and 1, not {<level|confidence|alpha>}")
    <ordered|ranked> = sorted(<returns|pnl|losses>)
    <index|position|cut> = int((1 - <level|confidence|alpha>) * len(<ordered|ranked>))
    return -<ordered|ranked>[<index|position|cut>]
""",
    """
def <parametric_var|normal_var>(<mean|mu>@float, <sigma|volatility|std>@float, <level|confidence>@float=<0.99|0.95>, \
<horizon|days>@int=<1|10>)@float_back:
    #doc Value at risk of a normal distribution over a horizon of days.
    <z|quantile|score> = NormalDist().inv_cdf(<level|confidence>)
    return <z|quantile|score> * <sigma|volatility|std> * math.sqrt(<horizon|days>) - <mean|mu> * <horizon|days>
""",
    """
def <expected_shortfall|conditional_var|cvar>(<returns|pnl>@floats, <level|alpha>@float=<0.95|0.975>)@float_back:
    #doc Return the mean loss in the tail.
    <ordered|ranked> = sorted(<returns|pnl>)
    count = max(1, int(len(<ordered|ranked>) * (1 - <level|alpha>)))
    <tail|worst> = <ordered|ranked>[:count]
    return -sum(<tail|worst>) / len(<tail|worst>)
""",
    """
def <moving_average|sma|rolling_mean>(<prices|closes|values>@floats, <window|length|period>@int=<20|50|10|200>)@floats_back:
    #doc Return the mean of each full window of prices.
    <result|averages|out> = []
    for end in range(<window|length|period>, len(<prices|closes|values>) + 1):
        <chunk|part|window_values> = <prices|closes|values>[end - <window|length|period>:end]
        <result|averages|out>.append(sum(<chunk|part|window_values>) / <window|length|period>)
    return <result|averages|out>
""",
    """
def <ema|exponential_average>(<prices|values>@floats, <span|period>@int=<12|26|9>)@floats_back:
    #doc Return the exponential moving average.
    <alpha|weight|smoothing> = 2 / (<span|period> + 1)
    <average|current> = <prices|values>[0]
    <out|averages> = [<average|current>]
    for <price|value> in <prices|values>[1:]:
        <average|current> = <alpha|weight|smoothing> * <price|value> + (1 - <alpha|weight|smoothing>) * <average|current>
        <out|averages>.append(<average|current>)
    return <out|averages>
""",
    """
def <rsi|relative_strength_index>(<closes|prices>@floats, <period|length>@int=<14|9|21>)@float_back:
    #doc Return the relative strength index of the last period.
    <gains|ups> = 0.0
    <losses|downs> = 0.0
    for a, b in zip(<closes|prices>[-<period|length> - 1:-1], <closes|prices>[-<period|length>:]):
        if b > a:
            <gains|ups> += b - a
        else:
            <losses|downs> += a - b
    if <losses|downs> == 0:
        return 100.0
    return 100 - 100 / (1 + <gains|ups> / <losses|downs>)
""",
    """
def <net_present_value|npv|discounted_value>(<cash_flows|flows|cashflows>@floats, \
<rate|discount_rate|yield_rate>@float=<0.05|0.08|0.1>)@float_back:
    #doc Discount yearly cash flows, the first one being paid now.
    <total|value|npv_value> = 0.0
    for <year|t|period>, <flow|amount|cash> in enumerate(<cash_flows|flows|cashflows>):
        <total|value|npv_value> += <flow|amount|cash> / (1 + <rate|discount_rate|yield_rate>) ** <year|t|period>
    return <total|value|npv_value>
""",
    """
def <internal_rate_of_return|irr>(<cash_flows|flows>@floats, <low|lower>@float=-0.99, <high|upper>@float=<1.0|10.0>, \
<tolerance|eps>@float=<1e-9|1e-8>)@float_back:
    #doc Find the rate at which the flows have no present value, by bisection.
    while <high|upper> - <low|lower> > <tolerance|eps>:
        <middle|mid|guess> = (<low|lower> + <high|upper>) / 2
        value = sum(flow / (1 + <middle|mid|guess>) ** i for i, flow in enumerate(<cash_flows|flows>))
        if value > 0:
            <low|lower> = <middle|mid|guess>
        else:
            <high|upper> = <middle|mid|guess>
    return (<low|lower> + <high|upper>) / 2
""",
    """
def <bond_price|price_bond|clean_price>(<face|notional|principal>@float, <coupon|coupon_rate>@float, <yield_rate|ytm>@float, \
<years|maturity>@int, <frequency|freq>@int=<2|1|4>)@float_back:
    #doc Return the price of a bond with level coupons.
    <periods|count> = <years|maturity> * <frequency|freq>
    <payment|cash> = <face|notional|principal> * <coupon|coupon_rate> / <frequency|freq>
    discount = 1 + <yield_rate|ytm> / <frequency|freq>
    price = sum(<payment|cash> / discount ** k for k in range(1, <periods|count> + 1))
    return price + <face|notional|principal> / discount ** <periods|count>
""",
    """
def <loan_payment|annuity_payment|monthly_payment>(<principal|amount|loan>@float, <annual_rate|rate>@float, \
<months|periods|term>@int=<360|120|60>)@float_back:
    #doc Return the level payment that repays a loan.
    if <annual_rate|rate> == 0:
        return <principal|amount|loan> / <months|periods|term>
    <monthly|periodic> = <annual_rate|rate> / 12
    return <principal|amount|loan> * <monthly|periodic> / (1 - (1 + <monthly|periodic>) ** -<months|periods|term>)
""",
    """
def <amortisation_schedule|repayment_plan|loan_schedule>(<principal|balance|loan>@float, <rate|monthly_rate>@float, \
<payment|instalment>@float)@rows_back:
    #doc List interest, repayment and balance of each month until the loan is repaid.
    <rows|schedule|plan> = []
    month = 1
    while <principal|balance|loan> > 0.005:
        interest = round(<principal|balance|loan> * <rate|monthly_rate>, 2)
        repaid = min(<payment|instalment> - interest, <principal|balance|loan>)
        <principal|balance|loan> = <principal|balance|loan> - repaid
        <rows|schedule|plan>.append({"month": month, "interest": interest, "repaid": repaid, \
"balance": round(<principal|balance|loan>, 2)})
        month += 1
    return <rows|schedule|plan>
""",
    """
def <black_scholes_call|call_price|european_call>(<spot|price>@float, <strike|exercise>@float, <rate|r>@float, \
<volatility|sigma|vol>@float, <expiry|years|tau>@float)@float_back:
    #doc Price a European call without dividends.
    ?if <expiry|years|tau> <= 0:
    ?    return max(<spot|price> - <strike|exercise>, 0.0)
    <root|scale> = <volatility|sigma|vol> * math.sqrt(<expiry|years|tau>)
    d1 = (math.log(<spot|price> / <strike|exercise>) + (<rate|r> + <volatility|sigma|vol> ** 2 / 2) * <expiry|years|tau>) / <root|scale>
    d2 = d1 - <root|scale>
    normal = NormalDist()
    return <spot|price> * normal.cdf(d1) - <strike|exercise> * math.exp(-<rate|r> * <expiry|years|tau>) * normal.cdf(d2)
""",
    """
class <OrderBook|LimitOrderBook|Book>:
    #doc Bids and asks of one instrument, by price.
    def __init__(self, <symbol|instrument|ticker>@str):
        self.<symbol|instrument|ticker> = <symbol|instrument|ticker>
        self.bids = {}
        self.asks = {}

    def <add_order|add|place>(self, <side|direction>@str, <price|limit>@float, <quantity|size|qty>@int)@none_back:
        #doc Add quantity at a price level.
        <levels|book> = self.bids if <side|direction> == "<buy|bid>" else self.asks
        <levels|book>[<price|limit>] = <levels|book>.get(<price|limit>, 0) + <quantity|size|qty>

    def <cancel|remove|cancel_order>(self, <side|direction>@str, <price|limit>@float, <quantity|size|qty>@int)@none_back:
        <levels|book> = self.bids if <side|direction> == "<buy|bid>" else self.asks
        left = <levels|book>.get(<price|limit>, 0) - <quantity|size|qty>
        if left > 0:
            <levels|book>[<price|limit>] = left
        else:
            <levels|book>.pop(<price|limit>, None)

    def <best_bid|top_bid>(self)@float_back:
        return max(self.bids) if self.bids else None

    def <best_ask|top_ask>(self)@float_back:
        return min(self.asks) if self.asks else None

    def <spread|quoted_spread>(self)@float_back:
        #doc Return the distance between the best prices, None for an empty side.
        bid, ask = self.<best_bid|top_bid>(), self.<best_ask|top_ask>()
        if bid is None or ask is None:
            return None
        return ask - bid
""",
    """
def <match_orders|execute_trades|cross_orders>(<bids|buys>@rows, <asks|sells>@rows)@rows_back:
    #doc Trade the best bid against the best ask while they cross.
    <trades|fills> = []
    <bids|buys> = sorted(<bids|buys>, key=lambda order: -order["price"])
    <asks|sells> = sorted(<asks|sells>, key=lambda order: order["price"])
    while <bids|buys> and <asks|sells> and <bids|buys>[0]["price"] >= <asks|sells>[0]["price"]:
        quantity = min(<bids|buys>[0]["quantity"], <asks|sells>[0]["quantity"])
        <trades|fills>.append({"price": <asks|sells>[0]["price"], "quantity": quantity})
        ?logger.info("trade of %d at %s", quantity, <asks|sells>[0]["price"])
        for <side|orders> in (<bids|buys>, <asks|sells>):
            <side|orders>[0]["quantity"] -= quantity
            if <side|orders>[0]["quantity"] == 0:
                <side|orders>.pop(0)
    return <trades|fills>
""",
    """
def <rebalance|target_trades|rebalancing_orders>(<holdings|positions>@mapping, <prices|quotes>@mapping, \
<weights|targets>@mapping)@mapping_back:
    #doc Return the shares to buy (or sell, negative) to reach the target weights.
    <total|portfolio_value|wealth> = sum(<holdings|positions>[name] * <prices|quotes>[name] for name in <holdings|positions>)
    <orders|trades> = {}
    for name, <weight|share> in <weights|targets>.items():
        <wanted|target> = <total|portfolio_value|wealth> * <weight|share> / <prices|quotes>[name]
        <orders|trades>[name] = <wanted|target> - <holdings|positions>.get(name, 0)
    return <orders|trades>
""",
    """
def <beta|market_beta>(<asset|stock>@floats, <market|benchmark|index_returns>@floats)@float_back:
    #doc Return the sensitivity of an asset to the market.
    <covariance|cov> = np.cov(<asset|stock>, <market|benchmark|index_returns>)[0][1]
    <variance|var> = np.var(<market|benchmark|index_returns>, ddof=1)
    return <covariance|cov> / <variance|var>
""",
    """
def <realised_pnl|fifo_profit|realized_gain>(<trades|fills|lots>@rows)@float_back:
    #doc Match sales with the oldest purchases and sum up the profit.
    <open_lots|queue|inventory> = []
    profit = 0.0
    for trade in <trades|fills|lots>:
        if trade["side"] == "buy":
            <open_lots|queue|inventory>.append([trade["quantity"], trade["price"]])
            continue
        left = trade["quantity"]
        while left > 0:
            if not <open_lots|queue|inventory>:
                raise ValueError("sold more than was bought")
            used = min(left, <open_lots|queue|inventory>[0][0])
            profit += used * (trade["price"] - <open_lots|queue|inventory>[0][1])
            <open_lots|queue|inventory>[0][0] -= used
            left -= used
            if <open_lots|queue|inventory>[0][0] == 0:
                <open_lots|queue|inventory>.pop(0)
    return profit
""",
    """
def <convert_currency|to_base_currency|fx_convert>(<amount|value>@float, <source|from_currency>@str, <target|to_currency>@str, \
<rates|fx_rates>@mapping)@float_back:
    #doc Convert an amount by way of the dollar.
    ?<amount|value> = float(<amount|value>)
    if <source|from_currency> == <target|to_currency>:
        return <amount|value>
    try:
        return <amount|value> / <rates|fx_rates>[<source|from_currency>] * <rates|fx_rates>[<target|to_currency>]
    except KeyError as error:
        raise ValueError(f"no rate for {error}") from error
""",
    """
def <load_prices|read_closes|load_closes>(<path|filename>@str, <column|field>@str="<Close|close|price>", \
<sep|delimiter>@str=",")@floats_back:
    #doc Read one column of a CSV file as numbers.
    <prices|rows|values> = []
    with open(<path|filename>) as <handle|f|stream>:
        <reader|table> = csv.DictReader(<handle|f|stream>, delimiter=<sep|delimiter>)
        for row in <reader|table>:
            if row[<column|field>] == "":
                continue
            <prices|rows|values>.append(float(row[<column|field>]))
    ?print("read", len(<prices|rows|values>), "prices")
    return <prices|rows|values>
""",
    """
def <transaction_cost|trading_fee|commission>(<notional|value|turnover>@float, <rate|fee_rate>@float=<0.001|0.0005|0.0025>, \
<minimum|floor>@float=<1.0|5.0|2.5>)@float_back:
    #doc Return the fee of a trade.
    fee = abs(<notional|value|turnover>) * <rate|fee_rate>
    if fee < <minimum|floor>:
        fee = <minimum|floor>
    return round(fee, 2)
""",
    """
def <year_fraction|day_count>(<start|begin>, <end|stop>, <convention|basis>@str="<act/365|act/360|30/360>")@float_back:
    #doc Return the part of a year between two dates.
    days = (<end|stop> - <start|begin>).days
    if <convention|basis> == "act/365":
        return days / 365
    if <convention|basis> == "act/360":
        return days / 360
    if <convention|basis> == "30/360":
        months = (<end|stop>.year - <start|begin>.year) * 12 + <end|stop>.month - <start|begin>.month
        return (months * 30 + min(<end|stop>.day, 30) - min(<start|begin>.day, 30)) / 360
    raise ValueError(f"unknown day count {<convention|basis>!r}")
""",
    """
def <moving_average_signal|crossover_signal|trend_signal>(<prices|closes>@floats, <fast|short>@int=<10|20|5>, \
<slow|long>@int=<50|100|200>)@int_back:
    #doc Return 1 above, -1 below and 0 without enough data.
    if len(<prices|closes>) < <slow|long>:
        return 0
    <fast_mean|quick> = sum(<prices|closes>[-<fast|short>:]) / <fast|short>
    <slow_mean|steady> = sum(<prices|closes>[-<slow|long>:]) / <slow|long>
    if <fast_mean|quick> > <slow_mean|steady>:
        return 1
    else:
        return -1
""",
    """
async def <fetch_quotes|load_quotes|get_prices>(<client|session>, <symbols|tickers>@strings, \
<timeout|limit>@float=<5.0|10.0|30.0>)@mapping_back:
    #doc Ask a data service for the last price of some symbols.
    <quotes|result> = {}
    for <symbol|ticker> in <symbols|tickers>:
        response = await <client|session>.get(f"/quote/{<symbol|ticker>}", timeout=<timeout|limit>)
        if response.status != 200:
            logger.warning("no quote for %s", <symbol|ticker>)
            continue
        data = await response.json()
        <quotes|result>[<symbol|ticker>] = data["price"]
    return <quotes|result>
""",
)
